"""Whole-log checks: a log must pass them before it is encoded. They need the split.

Rules of single rows are in `model.data.log.checks`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from model.contract.schema.declared import UPSTREAM_RAW_SCORE, FieldScope
from model.contract.schema.fitted import FittedSchema
from model.data.errors import FieldWithoutValues, PartTooSmall, TooFewRequests
from model.data.log.limits import MIN_PART_REQUESTS, MIN_REQUESTS, ListLimits
from model.data.log.log_reader import (
    IMPRESSIONS_DIR,
    ITEMS_PARQUET,
    USERS_PARQUET,
    CanonicalLog,
    read_log,
)
from model.data.tables.schema_fitting import (
    TrainingColumns,
    fields_without_values,
    fit_schema,
    values_by_frequency,
)
from model.data.tables.split import TRAIN, assign_parts

_FILE_OF_SCOPE = {
    FieldScope.ITEM: ITEMS_PARQUET,
    FieldScope.USER: USERS_PARQUET,
    FieldScope.CANDIDATE: IMPRESSIONS_DIR,
    FieldScope.CONTEXT: IMPRESSIONS_DIR,
}


@dataclass(frozen=True)
class ValidatedLog:
    """A log that passed every check, its split and its fitted schema.

    part: (R,) int8 in the order of the files.
    """

    log: CanonicalLog
    part: NDArray[np.int8]
    training: TrainingColumns
    schema: FittedSchema


def validate_log(log_dir: Path, limits: ListLimits | None = None) -> ValidatedLog:
    """Read a log, check every row and the whole, and fit its schema.

    Args:
        log_dir: folder of the canonical log.
        limits: longest lists.

    Raises:
        LogError: names file, row, column and rule. SchemaError: schema.toml breaks a rule.
    """
    log = read_log(log_dir, limits)
    rows = log.impressions
    _require_enough_requests(len(rows.timestamp))
    part = assign_parts(rows.user_index, rows.timestamp, log.users.ids.to_pylist(), log.info)
    _require_part_sizes(part)
    training = _training_columns(log, part == TRAIN)
    for spec in fields_without_values(log.declared_schema, training):
        raise FieldWithoutValues(
            file=_FILE_OF_SCOPE[spec.scope],
            column=spec.name,
            rule=f"a {spec.kind} field needs at least one value in the training part",
        )
    return ValidatedLog(log, part, training, fit_schema(log.declared_schema, training))


def _require_enough_requests(count: int) -> None:
    if count < MIN_REQUESTS:
        raise TooFewRequests(
            file=IMPRESSIONS_DIR, rule=f"{count} requests, at least {MIN_REQUESTS} are needed"
        )


def _require_part_sizes(part: NDArray[np.int8]) -> None:
    counts = np.bincount(part, minlength=len(MIN_PART_REQUESTS))
    for (name, least), count in zip(MIN_PART_REQUESTS.items(), counts, strict=True):
        if count < least:
            raise PartTooSmall(
                file=IMPRESSIONS_DIR,
                column="timestamp",
                rule=f"the {name} part has {count} requests, at least {least} are needed",
            )


def _training_columns(log: CanonicalLog, is_training: NDArray[np.bool_]) -> TrainingColumns:
    """Ids and raw columns of the training rows; `is_training` is (R,) bool."""
    rows = log.impressions
    is_offered = is_training[rows.candidates.value_row_ids]  # (V,)
    items = log.items.ids.take(pa.array(rows.candidates.values[is_offered]))
    users = log.users.ids.take(pa.array(rows.user_index[is_training]))
    item_ids, user_ids = (values_by_frequency(ids, len(ids)) for ids in (items, users))
    seen_items = pc.is_in(log.items.ids, value_set=pa.array(item_ids, pa.large_string()))
    seen_users = pc.is_in(log.users.ids, value_set=pa.array(user_ids, pa.large_string()))
    columns = {name: column.filter(seen_items) for name, column in log.items.columns.items()}
    columns |= {name: column.filter(seen_users) for name, column in log.users.columns.items()}
    row_filter, candidate_filter = pa.array(is_training), pa.array(is_offered)
    columns |= {name: column.filter(row_filter) for name, column in rows.context_values.items()}
    columns |= {name: c.filter(candidate_filter) for name, c in rows.candidate_values.items()}
    columns[UPSTREAM_RAW_SCORE] = pa.array(
        rows.upstream_scores[is_offered], from_pandas=True
    )  # NaN: no score
    return TrainingColumns(item_ids=item_ids, user_ids=user_ids, columns=columns)
