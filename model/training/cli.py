"""`relist train`: imports torch only when a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Exit, Option, Typer, echo

if TYPE_CHECKING:
    from collections.abc import Callable

    from model.training.trainer import EpochMetrics

app = Typer(help="Train the evaluator, then the generator.", no_args_is_help=True)

LogOption = Annotated[Path, Option(help="Folder of the canonical log.")]
OutOption = Annotated[Path, Option(help="Folder for the checkpoint; a stopped run goes on there.")]
ConfigOption = Annotated[Path | None, Option(help="TOML file; default: built-in defaults.")]
DeviceOption = Annotated[str, Option(help="cpu or cuda.")]
ThreadsOption = Annotated[
    int | None, Option(min=1, help="CPU threads; default: torch's own choice.")
]
RestartOption = Annotated[
    bool, Option("--restart", help="Discard a run with other settings in the folder.")
]


@app.command("evaluator")
def evaluator_command(
    log: LogOption,
    out: OutOption,
    config: ConfigOption = None,
    device: DeviceOption = "cpu",
    threads: ThreadsOption = None,
    *,
    restart: RestartOption = False,
) -> None:
    """Train the evaluator on a log.

    Exit status: 0 when trained, 2 for unusable input, 130 when stopped by a signal. The same
    command resumes a stopped run.
    """
    from model.config.pipeline_config import PipelineConfig
    from model.training.evaluator import EvaluatorTrainingTask, train_evaluator, tuning_hint
    from model.training.trainer import find_best_epoch

    best = _run(
        lambda: train_evaluator(
            PipelineConfig.from_toml(config), log, out, device, restart=restart
        ),
        threads,
    )
    _report("evaluator", out, best, ("auc", "gauc", "logloss", "ece"))
    if hint := tuning_hint(*find_best_epoch(out, EvaluatorTrainingTask.monitor)):
        echo(f"evaluator: {hint}", err=True)


@app.command("generator")
def generator_command(
    log: LogOption,
    evaluator: Annotated[Path, Option(help="Folder of the evaluator's checkpoint.")],
    out: OutOption,
    config: ConfigOption = None,
    device: DeviceOption = "cpu",
    threads: ThreadsOption = None,
    *,
    restart: RestartOption = False,
) -> None:
    """Train the generator against a trained evaluator and write the serving bundle.

    Exit status: 0 when trained, 2 for unusable input, 130 when stopped by a signal. The same
    command resumes a stopped run.
    """
    from model.config.pipeline_config import PipelineConfig
    from model.training.generator.generator_training import train_generator

    best = _run(
        lambda: train_generator(
            PipelineConfig.from_toml(config), log, evaluator, out, device, restart=restart
        ),
        threads,
    )
    _report("generator", out, best, ("gain", "value_ratio", "unchanged"))


def _run(train: Callable[[], EpochMetrics], threads: int | None) -> EpochMetrics:
    """Return the metrics of the best epoch; exit with a status where training cannot continue."""
    import torch

    from model.checkpoint import CheckpointError
    from model.config.toml_reader import ConfigError
    from model.contract.errors import ContractError
    from model.data.errors import DataError
    from model.training.trainer import TrainingInterrupted

    if threads is not None:
        torch.set_num_threads(threads)
    try:
        return train()
    except (ConfigError, DataError, ContractError, CheckpointError) as error:
        echo(f"relist train: {error}", err=True)
        raise Exit(2) from error
    except TrainingInterrupted as error:
        echo(f"\n{error}", err=True)
        raise Exit(130) from error


def _report(net: str, out: Path, best: EpochMetrics, names: tuple[str, ...]) -> None:
    from model.checkpoint import BEST_FILE

    values = ", ".join(f"{name} {best[name]:.4f}" for name in names)
    echo(f"{net}: {out / BEST_FILE} (validation: {values})", err=True)
