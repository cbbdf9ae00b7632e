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

from export.artifact_export import TrainedModels, export_artifact
from export.publish import CURRENT_LINK
from model.checkpoint import (
    BEST_FILE,
    EXPLORED_SHARE,
    Checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from model.config.pipeline_config import PipelineConfig
from model.data.serving_bundle import write_serving_bundle
from model.data.tables.table_cache import load_log_tables
from model.nets.build import build_evaluator, build_generator, init_from_evaluator
from model.nets.evaluators.pair_evaluator import PairEvaluator
from model.nets.field_layout import FieldLayout
from tests.toy_log import enable_raw_scores, omit_fields, write_toy_log

ROOT = Path(__file__).parents[1]
CACHE_DIR = ROOT / ".pytest_cache" / "tiny-artifacts"
DIGEST_SOURCES = (
    *("model/config/pipeline_config.py", "model/contract", "model/nets", "model/data"),
    *("export", "tests/toy_log.py", __file__),
)
TINY_EDITS, NOISE_SCALE, MAX_CANDIDATES = 2, 1.0, 500
TINY_EXPLORED_SHARE = 0.75  # of the lists of the log
_NLGR: dict[str, dict[str, object]] = {
    "evaluator": {"kind": "nlgr", "hidden": 8, "members": 2},
    "generator": {"kind": "nlgr", "hidden": 8},
}
# The published nets, the same without some fields of a request, and ours with raw scores.
NET_CONFIGS: dict[str, dict[str, dict[str, object]]] = {
    "nlgr": _NLGR,
    "narrow": _NLGR,
    "pair": {
        "evaluator": {"kind": "pair", "hidden": 8, "members": 2},
        "generator": {"kind": "guided", "hidden": 8},
    },
}


def tiny_config(kind: str) -> PipelineConfig:
    """Of small nets of a kind."""
    nets = NET_CONFIGS[kind]
    return PipelineConfig.from_mapping(
        {
            "evaluator": nets["evaluator"],
            "generator": nets["generator"] | {"edits": TINY_EDITS},
            "serving": {"risk_aversion": 0.1, "max_candidates": MAX_CANDIDATES},
            "objective": {"click": 1.0, "conversion": 0.5},
        }
    )


def tiny_artifact(folder: Path, kind: str = "nlgr") -> Path:
    """Put a tiny artifact into `folder` and return its own folder.

    Beside it: `folder/current`, and `folder/handover` with users.bin and requests.jsonl.
    """
    kept = CACHE_DIR / f"{kind}-{_digest()}"
    if not kept.exists():
        CACHE_DIR.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=CACHE_DIR, prefix=".part-"))
        _export_into(part, kind)
        try:
            part.rename(kept)
        except OSError:  # another process was faster
            shutil.rmtree(part)
    (folder / CURRENT_LINK).unlink(missing_ok=True)
    shutil.copytree(kept, folder, dirs_exist_ok=True, symlinks=True)
    return folder / (folder / CURRENT_LINK).readlink()


def build_tiny_models(folder: Path, kind: str = "nlgr") -> TrainedModels:
    """Untrained nets over the toy log with their hand-over, as training would leave them."""
    config = tiny_config(kind)
    log = write_toy_log(folder / "log", requests=400, users=30)
    if kind == "pair":
        enable_raw_scores(log)
    if kind == "narrow":
        omit_fields(log, "device", "distance")
    tables = load_log_tables(log)
    torch.manual_seed(0)
    fields = FieldLayout.from_schema(tables.schema)
    evaluator = build_evaluator(config.evaluator, fields, tables.slots)
    generator = build_generator(config.generator, config.evaluator, fields, tables.slots)
    init_from_evaluator(generator, evaluator)
    _enlarge_weights(evaluator)
    _enlarge_weights(generator)
    with torch.no_grad():
        for (
            weight
        ) in evaluator.structural_params():  # which start at zero, where no order is better
            weight.add_(0.5 * torch.randn_like(weight))
        if isinstance(evaluator, PairEvaluator):  # so that conversions rank as clicks do not
            evaluator.output_layer.scale_output_column(1, 3.0)
    handover = folder / "handover"
    write_serving_bundle(tables, log, handover, seed=0, edits=TINY_EDITS, noise_scale=NOISE_SCALE)
    facts = {
        "validation": {"auc": 0.5},
        "fingerprint": tables.fingerprint,
        "converts": True,
        "noise_scale": NOISE_SCALE,
        EXPLORED_SHARE: TINY_EXPLORED_SHARE,
    }
    for name, net in (("evaluator", evaluator), ("generator", generator)):
        write_checkpoint(
            folder / name / BEST_FILE,
            Checkpoint(
                kind=name,
                config=config,
                schema=tables.schema,
                slots=tables.slots,
                history_length=tables.history_length,
                max_candidates=tables.max_candidates,
                list_sizes=sorted({int(n) for n in tables.shown_count}),
                weights=net.state_dict(),
                metadata=facts,
            ),
        )
    read = {name: read_checkpoint(folder / name) for name in ("evaluator", "generator")}
    return TrainedModels(read["evaluator"], read["generator"], handover)


def _enlarge_weights(net: torch.nn.Module) -> None:
    """Untrained weights are so small that all lists look alike: make them differ."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(3.0)


def _export_into(root: Path, kind: str) -> None:
    work = Path(tempfile.mkdtemp(dir=CACHE_DIR, prefix=".work-"))
    try:
        trained = build_tiny_models(work, kind)
        export_artifact(trained, root, lambda _: None)
        shutil.copytree(trained.serving_bundle, root / "handover")
    finally:
        shutil.rmtree(work)


def _digest() -> str:
    seen = hashlib.sha256("".join(version(t) for t in ("torch", "onnx", "onnxscript")).encode())
    for source in DIGEST_SOURCES:
        place = ROOT / source
        files = sorted(place.rglob("*")) if place.is_dir() else [place]
        for path in files:
            if path.suffix in {".py", ".toml"}:
                seen.update(path.read_bytes())
    return seen.hexdigest()[:16]
