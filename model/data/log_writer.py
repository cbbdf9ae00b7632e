"""Writes canonical logs, for adapters: a whole folder or nothing; `canonical.py` reads them.

A folder that exists is replaced only when it holds a canonical log (or nothing).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from model.data.canonical import IMPRESSIONS, SCHEMA_TOML, TRUTH
from model.data.errors import ConfigError


@contextmanager
def fresh_log(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder` that takes its place when the block ends well."""
    if folder.exists() and any(folder.iterdir()) and not (folder / SCHEMA_TOML).exists():
        raise ConfigError(file=str(folder), key="--out", rule="holds other files than a log")
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        fresh.chmod(0o755)
        (fresh / IMPRESSIONS).mkdir()
        yield fresh
        if folder.exists():
            shutil.rmtree(folder)
        fresh.replace(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def write_impressions(folder: Path, part: int, columns: dict[str, pa.Array]) -> None:
    """Write one file of impressions."""
    pq.write_table(pa.table(columns), folder / IMPRESSIONS / f"part-{part:04d}.parquet")


def write_truth(folder: Path, columns: dict[str, pa.Array]) -> None:
    """Write the labels of all candidates."""
    pq.write_table(pa.table(columns), folder / TRUTH)


def list_column(values: NDArray[Any] | pa.Array, counts: NDArray[np.integer[Any]]) -> pa.Array:
    """A list column from flat values and the length of each row's list."""
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    flat = values if isinstance(values, pa.Array) else pa.array(values)
    return pa.ListArray.from_arrays(pa.array(offsets), flat)


def named(ids: list[str], places: NDArray[np.integer[Any]]) -> pa.Array:
    """Ids of flat places."""
    return pa.array(ids, pa.string()).take(pa.array(places.ravel()))
