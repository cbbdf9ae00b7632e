"""Writes canonical logs for adapters: a whole folder or nothing. `log_reader` reads them.

A folder that exists is replaced only when it holds a canonical log or nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from model.data.atomic_files import replace_dir
from model.data.errors import DataConfigError
from model.data.log.log_reader import IMPRESSIONS_DIR, SCHEMA_TOML, TRUTH_PARQUET


@contextmanager
def replace_log_dir(log_dir: Path) -> Iterator[Path]:
    """Yield a temporary folder that replaces `log_dir` when the block ends without an error.

    Raises:
        DataConfigError: `log_dir` holds files but no canonical log.
        WriteFailed: the file system refused a write.
    """
    if log_dir.exists() and any(log_dir.iterdir()) and not (log_dir / SCHEMA_TOML).exists():
        raise DataConfigError(file=str(log_dir), key="--out", rule="holds other files than a log")
    with replace_dir(log_dir) as fresh:
        (fresh / IMPRESSIONS_DIR).mkdir()
        yield fresh


def write_impressions(log_dir: Path, shard: int, columns: dict[str, pa.Array]) -> None:
    """Write one Parquet file of impressions; `shard` numbers it."""
    pq.write_table(pa.table(columns), log_dir / IMPRESSIONS_DIR / f"part-{shard:04d}.parquet")


def write_candidate_labels(log_dir: Path, columns: dict[str, pa.Array]) -> None:
    """Write truth.parquet: labels of all candidates."""
    pq.write_table(pa.table(columns), log_dir / TRUTH_PARQUET)


def list_column(values: NDArray[Any] | pa.Array, counts: NDArray[np.integer[Any]]) -> pa.Array:
    """List column of flat values (V,) and the length of the list of each row (R,)."""
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    flat = values if isinstance(values, pa.Array) else pa.array(values)
    return pa.ListArray.from_arrays(pa.array(offsets), flat)


def take_ids(ids: list[str], indices: NDArray[np.integer[Any]]) -> pa.Array:
    """Arrow text array of the ids at `indices`, flattened."""
    return pa.array(ids, pa.string()).take(pa.array(indices.ravel()))
