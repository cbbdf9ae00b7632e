"""The tables of a log: prepared once, kept beside it as memory-mapped arrays without pickles.

They are used only while the fingerprint of the log's files, H and the layout still match.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from model.contract.errors import ManifestError
from model.contract.schema.declared import DeclaredSchema
from model.contract.schema.fitted import fitted_schema_from_json
from model.contract.schema.item_table import ItemTable
from model.data.log.log_info import LogInfo
from model.data.tables.log_tables import LogTables, UserTable
from model.data.tables.table_builder import (
    DEFAULT_HISTORY_LENGTH,
    build_log_tables,
    log_fingerprint,
)

__all__ = ["LogTables", "UserTable", "build_log_tables", "load_log_tables", "write_log_tables"]

TABLES_FORMAT = 2  # raise whenever prepared arrays would mean something else
PREPARED_DIR, META_JSON, CACHED_ITEMS_NPZ = "prepared", "meta.json", "items.npz"
_ARRAYS = (
    "request_ids",
    "user_index",
    "timestamp",
    "part",
    "candidates",
    "candidate_rows",
    "cand_count",
    "shown",
    "shown_count",
    "clicks",
    "conversions",
    "user_rows",
    "sessions",
    "session_items",
    "session_feedback",
    "session_count",
    "candidate_clicks",
    "candidate_conversions",
)


def load_log_tables(
    log_dir: Path, *, history_length: int = DEFAULT_HISTORY_LENGTH, cache_dir: Path | None = None
) -> LogTables:
    """The tables of a log: read from `prepared/` while that is current, else prepared and kept.

    Args:
        log_dir: the canonical log.
        sessions: H.
        folder: where prepared tables are kept; `log_dir/prepared` by default.
    """
    kept = cache_dir or log_dir / PREPARED_DIR
    found = _read(kept, _key(log_fingerprint(log_dir), history_length))
    if found is not None:
        return found
    tables = build_log_tables(log_dir, history_length=history_length)
    write_log_tables(tables, kept)
    return tables


def write_log_tables(tables: LogTables, cache_dir: Path) -> None:
    """Write the tables so that `job_dir` never holds a part of them."""
    cache_dir.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{cache_dir.name}-", dir=cache_dir.parent))
    try:
        for name in _ARRAYS:
            array = getattr(tables, name)
            if array is not None:
                np.save(fresh / f"{name}.npy", array, allow_pickle=False)
        np.save(fresh / "user_ids.npy", np.asarray(tables.users.ids, dtype=np.str_))
        np.save(fresh / "user_table.npy", tables.users.rows)
        tables.items.write(fresh / CACHED_ITEMS_NPZ)
        meta = {
            "key": _key(tables.fingerprint, tables.history_length),
            "fingerprint": tables.fingerprint,
            "schema": tables.schema.model_dump(mode="json"),
            "declared": tables.declared_schema.model_dump(mode="json"),
            "info": asdict(tables.info),
        }
        (fresh / META_JSON).write_text(json.dumps(meta), encoding="utf-8")
        if cache_dir.exists():
            shutil.rmtree(cache_dir)
        fresh.replace(cache_dir)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _key(log_fingerprint: str, sessions: int) -> str:
    return f"{TABLES_FORMAT}-{sessions}-{log_fingerprint}"


def _read(folder: Path, key: str) -> LogTables | None:
    """The kept tables, or None when they are of another log, another H, or not whole."""
    try:
        meta = json.loads((folder / META_JSON).read_text(encoding="utf-8"))
        if meta["key"] != key:
            return None
        return _rebuild(folder, meta)
    except (OSError, KeyError, ValueError, ManifestError):
        return None  # not whole, e.g. a run that was stopped: it is prepared again


def _rebuild(folder: Path, meta: dict[str, Any]) -> LogTables:
    def array(name: str) -> Any:  # noqa: ANN401 - arrays of several element types
        path = folder / f"{name}.npy"
        return np.load(path, mmap_mode="r", allow_pickle=False) if path.exists() else None

    held = {name: array(name) for name in _ARRAYS}
    info = meta["info"] | {"shares": tuple(meta["info"]["shares"])}
    return LogTables(
        schema=fitted_schema_from_json(meta["schema"]),
        declared_schema=DeclaredSchema.model_validate(meta["declared"]),
        info=LogInfo(**info),
        items=ItemTable.read(folder / CACHED_ITEMS_NPZ),
        users=UserTable(ids=array("user_ids").tolist(), rows=array("user_table")),
        fingerprint=meta["fingerprint"],
        **held,
    )
