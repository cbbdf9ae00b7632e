"""Reads a canonical log and checks every row. Encodes and sorts nothing.

Rows stay in the order of the files.
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

from model.contract.schema.declared import (
    ITEM_ID,
    USER_ID,
    DeclaredField,
    DeclaredSchema,
    FieldKind,
    FieldScope,
    read_schema,
)
from model.data.errors import DisplayNotText, LogUnreadable, RepeatedId
from model.data.log import checks
from model.data.log.candidate_labels import CandidateLabels, read_candidate_labels
from model.data.log.checks import RowLocator
from model.data.log.column_types import ColumnType, as_single_array, column_type_of, select_columns
from model.data.log.impressions import Impressions, read_impressions
from model.data.log.limits import ListLimits
from model.data.log.log_info import LogInfo, read_log_info

SCHEMA_TOML, ITEMS_PARQUET, USERS_PARQUET, TRUTH_PARQUET = (
    "schema.toml",
    "items.parquet",
    "users.parquet",
    "truth.parquet",
)
IMPRESSIONS_DIR = "impressions"


@dataclass(frozen=True)
class EntityTable:
    """Items or users: ids and raw feature columns.

    ids: (n,) Arrow large_string, distinct.
    columns: column name -> (n,) Arrow array.
    """

    ids: pa.Array
    columns: Mapping[str, pa.Array]

    def row_indices(self, ids: pa.Array) -> NDArray[np.int32]:
        """(V,) int32 row of each id of an Arrow string array, -1 for an unknown id."""
        indices = pc.index_in(ids, value_set=self.ids)
        return np.asarray(pc.fill_null(indices, -1), dtype=np.int32)


@dataclass(frozen=True)
class CanonicalLog:
    """A whole log that passed the checks of its rows."""

    folder: Path
    declared_schema: DeclaredSchema
    info: LogInfo
    items: EntityTable
    users: EntityTable
    impressions: Impressions
    candidate_labels: CandidateLabels | None


def read_log(log_dir: Path, limits: ListLimits | None = None) -> CanonicalLog:
    """Read and check a canonical log.

    Raises:
        LogError: names file, row, column and rule. SchemaError: schema.toml breaks a rule.
    """
    declared = read_schema(log_dir / SCHEMA_TOML)
    items = _entities(log_dir, ITEMS_PARQUET, ITEM_ID, declared, FieldScope.ITEM)
    users = _entities(log_dir, USERS_PARQUET, USER_ID, declared, FieldScope.USER)
    names, table = _impression_files(log_dir)
    impressions = read_impressions(
        table,
        names,
        declared,
        item_lookup=items.row_indices,
        user_lookup=users.row_indices,
        limits=limits or ListLimits(),
    )
    labels = None
    if (log_dir / TRUTH_PARQUET).exists():
        labels = read_candidate_labels(_parquet(log_dir, TRUTH_PARQUET), impressions, TRUTH_PARQUET)
    return CanonicalLog(
        folder=log_dir,
        declared_schema=declared,
        info=read_log_info(log_dir),
        items=items,
        users=users,
        impressions=impressions,
        candidate_labels=labels,
    )


def list_log_files(log_dir: Path) -> list[Path]:
    """Existing files of a log, in a fixed order."""
    fixed = [SCHEMA_TOML, ITEMS_PARQUET, USERS_PARQUET, TRUTH_PARQUET, "log.toml"]
    shards = sorted((log_dir / IMPRESSIONS_DIR).glob("*.parquet"))
    return [p for p in (log_dir / name for name in fixed) if p.exists()] + shards


def _entities(
    log_dir: Path, file: str, id_name: str, schema: DeclaredSchema, scope: FieldScope
) -> EntityTable:
    specs = schema.fields_in_scope(scope)
    want = {id_name: ColumnType.TEXT} | {spec.name: column_type_of(spec) for spec in specs}
    if scope is FieldScope.ITEM:
        want |= {
            column: ColumnType.TEXT for column in schema.display.values() if column not in want
        }
        _require_text_display(schema, want, file)
    table = select_columns(_parquet(log_dir, file), want, file=file)
    columns = {name: as_single_array(table[name]) for name in want}
    origin = RowLocator((file,))
    ids = columns.pop(id_name)
    checks.require_not_null(origin, ids, id_name)
    checks.require_valid_ids(origin, ids, id_name)
    checks.require_unique_ids(origin, ids, id_name, RepeatedId)
    _check_numbers(origin, specs, columns)
    return EntityTable(ids=ids, columns=columns)


def _require_text_display(
    schema: DeclaredSchema, want: Mapping[str, ColumnType], file: str
) -> None:
    for role, column in schema.display.items():
        if want[column] is not ColumnType.TEXT:
            words = want[column].value[0]
            rule = f"display.{role} in {SCHEMA_TOML} needs text, this field holds {words}"
            raise DisplayNotText(file=file, column=column, rule=rule)


def _check_numbers(
    origin: RowLocator, specs: tuple[DeclaredField, ...], columns: Mapping[str, pa.Array]
) -> None:
    for spec in specs:
        if spec.kind is FieldKind.NUMERIC:
            column = columns[spec.name]
            present = ~np.asarray(pc.is_null(column))
            numbers = np.asarray(column, dtype=np.float64)
            checks.require_finite(origin, numbers, present, None, spec.name)


def _impression_files(log_dir: Path) -> tuple[list[str], list[pa.Table]]:
    files = sorted((log_dir / IMPRESSIONS_DIR).glob("*.parquet"))
    if not files:
        raise LogUnreadable(
            file=IMPRESSIONS_DIR, rule=f"no *.parquet in {log_dir / IMPRESSIONS_DIR}"
        )
    names = [f"{IMPRESSIONS_DIR}/{path.name}" for path in files]
    return names, [_parquet(log_dir, name) for name in names]


def _parquet(log_dir: Path, file: str) -> pa.Table:
    try:
        return pq.read_table(log_dir / file)
    except FileNotFoundError as error:
        raise LogUnreadable(file=file, rule=f"no such file in {log_dir}") from error
    except (OSError, pa.ArrowInvalid) as error:
        raise LogUnreadable(file=file, rule=f"not a readable Parquet file: {error}") from error
