"""A real artifact of small, untrained nets over the toy log: exported and verified like any other.

Export takes some seconds, so the result is kept in pytest's cache folder under a digest of all code
that it depends on; any change of that code exports anew.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch

from export.cli import Trained, export_artifact
from export.publish import CURRENT
from model.checkpoint import BEST, Checkpoint, read_checkpoint, write_checkpoint
from model.config import Config
from model.data.handover import write_handover
from model.data.tables import load_tables
from model.nets.build import build_evaluator, build_generator, start_from_evaluator
from model.nets.shape import Fields
from tests.logs import offer_raw_scores, write_toy_log

ROOT = Path(__file__).parents[1]
KEPT = ROOT / ".pytest_cache" / "tiny-artifacts"
SOURCES = (
    *("model/config.py", "model/contract", "model/nets", "model/data"),
    *("export", "tests/logs.py", __file__),
)
EDITS, NOISE_SCALE, MAX_CANDIDATES = 2, 1.0, 500
KINDS: dict[str, dict[str, dict[str, object]]] = {  # the published nets, and ours with raw scores
    "nlgr": {
        "evaluator": {"kind": "nlgr", "hidden": 8, "members": 2},
        "generator": {"kind": "nlgr", "hidden": 8},
    },
    "pair": {
        "evaluator": {"kind": "pair", "hidden": 8, "members": 2},
        "generator": {"kind": "guided", "hidden": 8},
    },
}


def config_of(kind: str) -> Config:
    """Of small nets of a kind."""
    nets = KINDS[kind]
    return Config.from_mapping(
        {
            "evaluator": nets["evaluator"],
            "generator": nets["generator"] | {"edits": EDITS},
            "serving": {"pessimism": 0.1, "max_candidates": MAX_CANDIDATES},
            "objective": {"click": 1.0, "conversion": 0.5},
        }
    )


def tiny_artifact(folder: Path, kind: str = "nlgr") -> Path:
    """Put a tiny artifact into `folder` and return its own folder.

    Beside it: `folder/current`, and `folder/handover` with users.bin and requests.jsonl.
    """
    kept = KEPT / f"{kind}-{_digest()}"
    if not kept.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=KEPT, prefix=".part-"))
        _make(part, kind)
        try:
            part.rename(kept)
        except OSError:  # another process was faster
            shutil.rmtree(part)
    (folder / CURRENT).unlink(missing_ok=True)
    shutil.copytree(kept, folder, dirs_exist_ok=True, symlinks=True)
    return folder / (folder / CURRENT).readlink()


def tiny_trained(folder: Path, kind: str = "nlgr") -> Trained:
    """Untrained nets over the toy log with their hand-over, as training would leave them."""
    config = config_of(kind)
    log = write_toy_log(folder / "log", requests=400, users=30)
    if kind == "pair":
        offer_raw_scores(log)
    tables = load_tables(log)
    torch.manual_seed(0)
    fields = Fields.of(tables.schema)
    evaluator = build_evaluator(config.evaluator, fields, tables.slots)
    generator = build_generator(config.generator, config.evaluator, fields, tables.slots)
    start_from_evaluator(generator, evaluator)
    _spread(evaluator)
    _spread(generator)
    with torch.no_grad():
        for weight in evaluator.structure():  # which start at zero, where no order is better
            weight.add_(0.5 * torch.randn_like(weight))
    handover = folder / "handover"
    write_handover(tables, log, handover, seed=0, edits=EDITS, noise_scale=NOISE_SCALE)
    facts = {
        "validation": {"auc": 0.5},
        "fingerprint": tables.fingerprint,
        "converts": True,
        "noise_scale": NOISE_SCALE,
    }
    for name, net in (("evaluator", evaluator), ("generator", generator)):
        write_checkpoint(
            folder / name / BEST,
            Checkpoint(
                kind=name,
                config=config,
                schema=tables.schema,
                slots=tables.slots,
                sessions=tables.history,
                max_candidates=tables.max_candidates,
                list_sizes=sorted({int(n) for n in tables.shown_count}),
                weights=net.state_dict(),
                facts=facts,
            ),
        )
    read = {name: read_checkpoint(folder / name) for name in ("evaluator", "generator")}
    return Trained(read["evaluator"], read["generator"], handover)


def _spread(net: torch.nn.Module) -> None:
    """Untrained weights are so small that all lists look alike: make them differ."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(3.0)


def _make(root: Path, kind: str) -> None:
    work = Path(tempfile.mkdtemp(dir=KEPT, prefix=".work-"))
    try:
        trained = tiny_trained(work, kind)
        export_artifact(trained, root, lambda _: None)
        shutil.copytree(trained.handover, root / "handover")
    finally:
        shutil.rmtree(work)


def _digest() -> str:
    seen = hashlib.sha256("".join(version(t) for t in ("torch", "onnx", "onnxscript")).encode())
    for source in SOURCES:
        place = ROOT / source
        files = sorted(place.rglob("*")) if place.is_dir() else [place]
        for path in files:
            if path.suffix in {".py", ".toml"}:
                seen.update(path.read_bytes())
    return seen.hexdigest()[:16]
