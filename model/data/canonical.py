"""The canonical log (layout: this folder's README): reads, checks, and hands out plain columns.

Encodes nothing and sorts nothing: rows stay in the order of the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from model.contract.schema import ITEM_ID, USER_ID, FieldSpec, Kind, Schema, Scope, read_schema
from model.data import checks
from model.data.checks import Limits, Origin
from model.data.column_types import Want, pick, single, wanted
from model.data.errors import LogError, LogUnreadable, RepeatedId
from model.data.impressions import Impressions, read_impressions
from model.data.log_info import LogInfo, read_info
from model.data.truth import Truth, read_truth

__all__ = ["CanonicalLog", "Entities", "LogError", "log_files", "read_log"]

SCHEMA_TOML, ITEMS, USERS, TRUTH = (
    "schema.toml",
    "items.parquet",
    "users.parquet",
    "truth.parquet",
)
IMPRESSIONS = "impressions"


@dataclass(frozen=True)
class Entities:
    """Items or users: ids and raw feature columns.

    ids: (n,) arrow large_string, distinct. values: column name -> (n,) arrow array.
    """

    ids: pa.Array
    values: Mapping[str, pa.Array]

    def places(self, ids: pa.Array) -> NDArray[np.int32]:
        """(V,) place of each id of an arrow string array, -1 for one that is not held."""
        at = pc.index_in(ids, value_set=self.ids)
        return np.asarray(pc.fill_null(at, -1), dtype=np.int32)


@dataclass(frozen=True)
class CanonicalLog:
    """A whole log that passed every check."""

    folder: Path
    declared: Schema
    info: LogInfo
    items: Entities
    users: Entities
    impressions: Impressions
    truth: Truth | None


def read_log(log_dir: Path, limits: Limits | None = None) -> CanonicalLog:
    """Read and check a canonical log.

    Raises:
        LogError: names file, row, column and rule. SchemaError: schema.toml breaks a rule.
    """
    declared = read_schema(log_dir / SCHEMA_TOML)
    items = _entities(log_dir, ITEMS, ITEM_ID, declared, Scope.ITEM)
    users = _entities(log_dir, USERS, USER_ID, declared, Scope.USER)
    names, table = _impression_files(log_dir)
    impressions = read_impressions(
        table, names, declared, (items.places, users.places), limits or Limits()
    )
    truth = None
    if (log_dir / TRUTH).exists():
        truth = read_truth(_parquet(log_dir, TRUTH), impressions, TRUTH)
    return CanonicalLog(
        folder=log_dir,
        declared=declared,
        info=read_info(log_dir),
        items=items,
        users=users,
        impressions=impressions,
        truth=truth,
    )


def log_files(log_dir: Path) -> list[Path]:
    """Every file that a log consists of, in a fixed order; optional ones only where they exist."""
    fixed = [SCHEMA_TOML, ITEMS, USERS, TRUTH, "log.toml"]
    shards = sorted((log_dir / IMPRESSIONS).glob("*.parquet"))
    return [p for p in (log_dir / name for name in fixed) if p.exists()] + shards


def _entities(log_dir: Path, file: str, id_name: str, schema: Schema, scope: Scope) -> Entities:
    specs = schema.fields(scope)
    want = {id_name: Want.TEXT} | {spec.name: wanted(spec) for spec in specs}
    if scope is Scope.ITEM:
        want |= {column: Want.TEXT for column in schema.display.values() if column not in want}
    table = pick(_parquet(log_dir, file), want, file=file)
    columns = {name: single(table[name]) for name in want}
    origin = Origin((file,))
    ids = columns.pop(id_name)
    checks.require_no_gap(origin, ids, id_name)
    checks.require_unique(origin, ids, id_name, RepeatedId)
    _check_numbers(origin, specs, columns)
    return Entities(ids=ids, values=columns)


def _check_numbers(
    origin: Origin, specs: tuple[FieldSpec, ...], columns: Mapping[str, pa.Array]
) -> None:
    for spec in specs:
        if spec.kind is Kind.NUMERIC:
            column = columns[spec.name]
            given = ~np.asarray(pc.is_null(column))
            numbers = np.asarray(column, dtype=np.float64)
            checks.require_finite(origin, numbers, given, None, spec.name)


def _impression_files(log_dir: Path) -> tuple[list[str], list[pa.Table]]:
    files = sorted((log_dir / IMPRESSIONS).glob("*.parquet"))
    if not files:
        raise LogUnreadable(file=IMPRESSIONS, rule=f"no *.parquet in {log_dir / IMPRESSIONS}")
    names = [f"{IMPRESSIONS}/{path.name}" for path in files]
    return names, [_parquet(log_dir, name) for name in names]


def _parquet(log_dir: Path, file: str) -> pa.Table:
    try:
        return pq.read_table(log_dir / file)
    except FileNotFoundError as error:
        raise LogUnreadable(file=file, rule=f"no such file in {log_dir}") from error
    except (OSError, pa.ArrowInvalid) as error:
        raise LogUnreadable(file=file, rule=f"not a readable Parquet file: {error}") from error
