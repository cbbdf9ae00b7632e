"""Train one generator and choose its noise scale. Files for export are the command's: `cli.py`."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from model.checkpoint import BEST, Checkpoint, read_checkpoint, write_checkpoint
from model.config import Config
from model.data.log_tables import LogTables
from model.loop import Numbers, fit, told
from model.train_generator.task import GeneratorTask
from model.train_generator.validation import gain_by_noise_scale

NOISE_SCALES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)


def fit_generator(
    config: Config, tables: LogTables, taught: Checkpoint, folder: Path, device: str = "cpu"
) -> Numbers:
    """Train against a frozen evaluator, leave best.pt in the folder.

    Args:
        config: of the run; its evaluator is replaced by the one of `taught`.
        tables: of the log.
        taught: the evaluator's checkpoint.
        folder: receives best.pt, last.pt and curves; a finished run is only read.
        device: cpu or cuda.

    Returns:
        The best epoch's validation numbers, and `noise_scale`.
    """
    config = dataclasses.replace(config, evaluator=taught.config.evaluator)
    task = GeneratorTask(config, tables, taught.evaluator(), folder, device)
    training = config.train_generator
    settings = f"{told(config.generator)} {told(training)}"
    identity = f"{tables.fingerprint} {settings} {taught.facts['validation']}"
    best = fit(task, folder, epochs=task.epochs(), patience=None, identity=identity)
    made = read_checkpoint(folder)
    task.net.load_state_dict(made.weights)
    task.net.eval()
    scorer = task.scorer(task.sample())
    how = dataclasses.replace(task.editing(), num_lists=config.serving.num_lists)
    tried = gain_by_noise_scale(task.net, scorer, how, NOISE_SCALES, config)
    scale = max(tried, key=lambda at: tried[at])
    shown = ", ".join(f"{at:g}: {gain:.4f}" for at, gain in tried.items())
    sys.stderr.write(f"generator: noise scale {scale:g} (served gain by scale: {shown})\n")
    facts = {**made.facts, "noise_scale": scale, "evaluator": taught.facts}
    write_checkpoint(folder / BEST, dataclasses.replace(made, facts=facts))
    return best | {"noise_scale": scale}
