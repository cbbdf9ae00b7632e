"""Keeps the tables of a log on disk as memory-mapped arrays without pickles.

Prepared tables are used only while the fingerprint of the log, H and the layout match, and while
every file has the checksum that was written with it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from model.contract.errors import ManifestError
from model.contract.schema.declared import DeclaredSchema
from model.contract.schema.fitted import fitted_schema_from_json
from model.contract.schema.item_table import ItemTable
from model.data.atomic_files import replace_dir
from model.data.errors import DataConfigError
from model.data.log.log_info import LogInfo
from model.data.tables.log_tables import LogTables, UserTable
from model.data.tables.table_builder import (
    DEFAULT_HISTORY_LENGTH,
    build_log_tables,
    log_fingerprint,
)
from model.data.user_cache import user_cache_dir

__all__ = ["LogTables", "UserTable", "build_log_tables", "load_log_tables", "write_log_tables"]

TABLES_FORMAT = 3  # raise whenever prepared arrays mean something else, or a check is added
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
_LOGGER = logging.getLogger(__name__)


def load_log_tables(
    log_dir: Path, *, history_length: int = DEFAULT_HISTORY_LENGTH, cache_dir: Path | None = None
) -> LogTables:
    """The tables of a log: read from disk while they are current, else built and kept.

    Args:
        log_dir: folder of the canonical log.
        history_length: H, past sessions of a user that a row sees.
        cache_dir: folder that keeps prepared tables by fingerprint. By default they are kept in
            `log_dir/prepared`, or in the cache of the user where `log_dir` is read-only.

    Raises:
        LogError: the log breaks a rule. WriteFailed: the tables could not be kept.
    """
    fingerprint = log_fingerprint(log_dir)
    folders = _cache_folders(log_dir, fingerprint, cache_dir, os.environ)
    for folder in folders:
        tables = _read_current(folder, _cache_key(fingerprint, history_length))
        if tables is not None:
            return tables
    tables = build_log_tables(log_dir, history_length=history_length)
    _write_first_writable(tables, folders)
    return tables


def write_log_tables(tables: LogTables, cache_dir: Path) -> None:
    """Write the tables into `cache_dir`, which is replaced as a whole.

    Raises:
        DataConfigError: `cache_dir` holds other files than prepared tables.
        WriteFailed: the file system refused a write. PermissionError: the parent is read-only.
    """
    if cache_dir.exists() and any(cache_dir.iterdir()) and not (cache_dir / META_JSON).exists():
        raise DataConfigError(
            file=str(cache_dir), key="-", rule="holds other files than prepared tables"
        )
    with replace_dir(cache_dir) as fresh:
        for name in _ARRAYS:
            array = getattr(tables, name)
            if array is not None:
                np.save(fresh / f"{name}.npy", array, allow_pickle=False)
        np.save(fresh / "user_ids.npy", np.asarray(tables.users.ids, dtype=np.str_))
        np.save(fresh / "user_table.npy", tables.users.rows)
        tables.items.write(fresh / CACHED_ITEMS_NPZ)
        meta = {
            "key": _cache_key(tables.fingerprint, tables.history_length),
            "fingerprint": tables.fingerprint,
            "schema": tables.schema.model_dump(mode="json"),
            "declared": tables.declared_schema.model_dump(mode="json"),
            "info": asdict(tables.info),
            "sha256": {path.name: _file_digest(path) for path in sorted(fresh.iterdir())},
        }
        (fresh / META_JSON).write_text(json.dumps(meta), encoding="utf-8")


def _cache_folders(
    log_dir: Path, fingerprint: str, cache_dir: Path | None, environ: Mapping[str, str]
) -> tuple[Path, ...]:
    """Folders that may hold the tables, in order of preference."""
    if cache_dir is not None:
        return (cache_dir / fingerprint,)
    return (log_dir / PREPARED_DIR, user_cache_dir(environ) / PREPARED_DIR / fingerprint)


def _write_first_writable(tables: LogTables, folders: tuple[Path, ...]) -> None:
    """Write to the first folder; to the next one where the folder before is read-only."""
    *earlier, last = folders
    for folder in earlier:
        try:
            write_log_tables(tables, folder)
        except OSError as error:
            _LOGGER.warning(
                "%s cannot be written (%s); prepared tables are kept in %s",
                folder, error.strerror, last,
            )  # fmt: skip
        else:
            return
    write_log_tables(tables, last)


def _cache_key(fingerprint: str, history_length: int) -> str:
    return f"{TABLES_FORMAT}-{history_length}-{fingerprint}"


def _read_current(folder: Path, key: str) -> LogTables | None:
    """The kept tables; None where there are none, of another log or H, or damaged ones."""
    if not folder.is_dir():
        return None
    try:
        meta = json.loads((folder / META_JSON).read_text(encoding="utf-8"))
        if meta["key"] != key:
            return None
        return _rebuild(folder, meta, _require_checksums(folder, meta["sha256"]))
    except (OSError, KeyError, TypeError, ValueError, ManifestError) as error:
        reason = str(error).partition("\n")[0]
        _LOGGER.warning("%s is damaged (%s); the log is prepared again", folder, reason)
        return None


def _require_checksums(folder: Path, expected: Mapping[str, str]) -> frozenset[str]:
    """Names of the files, each with the checksum of the time of writing.

    Raises:
        ValueError: a file is missing or has other contents.
    """
    for name, digest in expected.items():
        path = folder / name
        if not path.exists():
            raise ValueError(f"{name} is missing")
        if _file_digest(path) != digest:
            raise ValueError(f"{name} has another checksum")
    return frozenset(expected)


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rebuild(folder: Path, meta: dict[str, Any], files: frozenset[str]) -> LogTables:
    def load_array(name: str) -> Any:  # noqa: ANN401 - arrays of several element types
        file = f"{name}.npy"
        return np.load(folder / file, mmap_mode="r", allow_pickle=False) if file in files else None

    info = meta["info"] | {"shares": tuple(meta["info"]["shares"])}
    return LogTables(
        schema=fitted_schema_from_json(meta["schema"]),
        declared_schema=DeclaredSchema.model_validate(meta["declared"]),
        info=LogInfo(**info),
        items=ItemTable.read(folder / CACHED_ITEMS_NPZ),
        users=UserTable(ids=load_array("user_ids").tolist(), rows=load_array("user_table")),
        fingerprint=meta["fingerprint"],
        **{name: load_array(name) for name in _ARRAYS},
    )
