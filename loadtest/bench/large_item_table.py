"""Makes an artifact of untrained nets with a large item table, to measure a process' memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from export.artifact_export import TrainedModels, export_artifact
from export.publish import CURRENT_LINK
from model.checkpoint import BEST_FILE, Checkpoint, read_checkpoint, write_checkpoint
from model.config.pipeline_config import PipelineConfig
from model.data.serving_bundle import write_serving_bundle
from model.data.tables.table_cache import load_log_tables
from model.nets.build import build_evaluator, build_generator, init_from_evaluator
from model.nets.field_layout import FieldLayout

LARGE_BUNDLE = "serving_bundle"  # folder of users.bin and requests.jsonl
_SLOTS, _OFFERED, _USERS = 10, 50, 20
_MIN_REQUESTS = 200
_HOUR_MS = 3_600_000


def export_large_artifact(folder: Path, items: int, fields: int) -> Path:
    """Export an artifact with this many items of this many fields (the id is one of them)."""
    tables = load_log_tables(write_random_log(folder / "log", items, fields))
    torch.manual_seed(0)
    config = PipelineConfig.from_mapping({"serving": {"risk_aversion": 0.0}})
    shape = FieldLayout.from_schema(tables.schema)
    evaluator = build_evaluator(config.evaluator, shape, tables.slots)
    generator = build_generator(config.generator, config.evaluator, shape, tables.slots)
    init_from_evaluator(generator, evaluator)
    serving_bundle = folder / LARGE_BUNDLE
    edits = config.generator.edits
    write_serving_bundle(
        tables, folder / "log", serving_bundle, seed=0, edits=edits, noise_scale=1.0
    )
    facts = {
        "validation": {},
        "fingerprint": tables.fingerprint,
        "converts": False,
        "noise_scale": 1.0,
    }
    for kind, net in (("evaluator", evaluator), ("generator", generator)):
        write_checkpoint(
            folder / kind / BEST_FILE,
            Checkpoint(
                kind=kind,
                config=config,
                schema=tables.schema,
                slots=tables.slots,
                history_length=tables.history_length,
                max_candidates=tables.max_candidates,
                list_sizes=[_SLOTS],
                weights=net.state_dict(),
                metadata=facts,
            ),
        )
    trained = TrainedModels(
        read_checkpoint(folder / "evaluator"), read_checkpoint(folder / "generator"), serving_bundle
    )
    export_artifact(trained, folder / "artifact", lambda _: None)
    return folder / "artifact" / (folder / "artifact" / CURRENT_LINK).readlink()


def write_random_log(folder: Path, items: int, fields: int) -> Path:
    """A canonical log with random feedback; every third item field is text, the others numbers."""
    rng = np.random.default_rng(0)
    (folder / "impressions").mkdir(parents=True)
    columns: dict[str, list[str] | np.ndarray] = {"item_id": [f"item-{i}" for i in range(items)]}
    declared = []
    for at in range(fields - 1):
        name = f"field_{at}"
        if at % 3 == 0:
            columns[name] = [f"value-{v}" for v in rng.integers(50, size=items)]
            declared.append(f'name = "{name}"\nscope = "item"\nkind = "categorical"\n')
        else:
            columns[name] = rng.normal(size=items)
            kind = 'kind = "numeric"\nbuckets = "quantile:16"\n'
            declared.append(f'name = "{name}"\nscope = "item"\n{kind}')
    schema = "".join(f"[[field]]\n{text}\n" for text in declared)
    (folder / "schema.toml").write_text(schema, encoding="utf-8")
    (folder / "log.toml").write_text('name = "large"\nsplit = "time"\n', encoding="utf-8")
    pq.write_table(pa.table(columns), folder / "items.parquet")
    users = [f"u{u}" for u in range(_USERS)]
    pq.write_table(pa.table({"user_id": users}), folder / "users.parquet")
    # every item is a candidate in turn; those of the training part get a row in the embeddings
    count = max(_MIN_REQUESTS, items // _OFFERED)
    parts = np.resize(rng.permutation(items), (count, _OFFERED))
    rows = [_impression(rng, at, part) for at, part in enumerate(parts)]
    pq.write_table(
        pa.Table.from_pylist(rows, schema=_IMPRESSIONS), folder / "impressions" / "part.parquet"
    )
    return folder


_IMPRESSIONS = pa.schema(
    {
        "request_id": pa.string(),
        "user_id": pa.string(),
        "timestamp": pa.int64(),
        "candidates": pa.list_(pa.string()),
        "upstream_scores": pa.list_(pa.float32()),
        "shown": pa.list_(pa.string()),
        "clicks": pa.list_(pa.int8()),
        "conversions": pa.list_(pa.int8()),
    }
)


def _impression(rng: np.random.Generator, at: int, items: NDArray[np.int64]) -> dict[str, object]:
    offered = [f"item-{i}" for i in items]
    return {
        "request_id": f"q{at}",
        "user_id": f"u{rng.integers(_USERS)}",
        "timestamp": 1_700_000_000_000 + at * _HOUR_MS,
        "candidates": offered,
        "upstream_scores": np.sort(rng.normal(size=len(offered)))[::-1].tolist(),
        "shown": offered[:_SLOTS],
        "clicks": rng.integers(2, size=_SLOTS).tolist(),
        "conversions": None,
    }
