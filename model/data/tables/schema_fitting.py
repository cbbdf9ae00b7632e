"""Declared schema + training part of a log -> fitted schema (values, edges, places of gaps).

Deterministic: values by how often they occur, then by themselves; edges from quantiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from model.contract.errors import SchemaError
from model.contract.schema.declared import (
    ITEM_ID,
    OWN_EMBEDDING,
    USER_ID,
    DeclaredField,
    DeclaredSchema,
    FieldKind,
    FieldScope,
)
from model.contract.schema.fitted import (
    FIRST_VALUE_OFFSET,
    MISSING_OFFSET,
    UNKNOWN_OFFSET,
    FittedField,
    FittedSchema,
    feedback_fields,
    id_field,
)


@dataclass(frozen=True)
class TrainingColumns:
    """What the training rows hold.

    item_ids, user_ids: ids that occur, most frequent first.
    columns: declared field -> arrow array of its raw values there.
    """

    item_ids: Sequence[str]
    user_ids: Sequence[str]
    columns: Mapping[str, pa.Array]


def fit_schema(declared: DeclaredSchema, training: TrainingColumns) -> FittedSchema:
    """Fit every declared field on the training part."""

    def fitted(scope: FieldScope) -> list[FittedField]:
        return [_fit(spec, training.columns) for spec in declared.fields_in_scope(scope)]

    fields = (
        id_field(ITEM_ID, FieldScope.ITEM, training.item_ids),
        *fitted(FieldScope.ITEM),
        *fitted(FieldScope.CANDIDATE),
        *feedback_fields(),
        id_field(USER_ID, FieldScope.USER, training.user_ids),
        *fitted(FieldScope.USER),
        *fitted(FieldScope.CONTEXT),
    )
    return FittedSchema(fields=fields, display=dict(declared.display))


def fields_without_values(
    declared: DeclaredSchema, training: TrainingColumns
) -> tuple[DeclaredField, ...]:
    """Categorical and multi fields whose vocabulary would be empty, in order of declaration."""
    return tuple(
        spec
        for spec in declared.field
        if spec.kind is not FieldKind.NUMERIC and not _vocabulary(spec, training.columns)
    )


def values_by_frequency(values: pa.Array, limit: int) -> tuple[str, ...]:
    """Distinct texts, the most frequent first, equals by value; gaps do not count."""
    counts = pc.value_counts(values.drop_null())
    names, times = counts.field("values").to_pylist(), counts.field("counts").to_pylist()
    ordered = sorted(zip(names, times, strict=True), key=lambda pair: (-pair[1], pair[0]))
    return tuple(name for name, _ in ordered[:limit])


def quantile_edges(values: NDArray[np.float64], buckets: int) -> tuple[float, ...]:
    """Rising edges that part the values into at most `bucketizers` about equal buckets.

    Each edge stands midway between two neighboring values of the data: a value that comes as
    float32 in a log and as a decimal in a request then falls on the same side.
    """
    distinct = np.unique(values)
    if len(distinct) < 2:
        return ()
    at = np.quantile(values, np.arange(1, buckets) / buckets, method="lower")
    above = np.unique(np.searchsorted(distinct, at, side="left"))
    above = above[above > 0]
    middle = distinct[above - 1] + (distinct[above] - distinct[above - 1]) / 2
    return tuple(float(edge) for edge in np.unique(middle))


def _fit(spec: DeclaredField, columns: Mapping[str, pa.Array]) -> FittedField:
    if spec.kind is FieldKind.NUMERIC:
        return _numeric(spec, columns)
    values = _vocabulary(spec, columns)
    return FittedField(
        name=spec.name,
        scope=spec.scope,
        kind=spec.kind,
        size=len(values),
        values=values,
        width=spec.max_values if spec.kind is FieldKind.MULTI else 1,
        missing=_place(spec, "missing", values, MISSING_OFFSET),
        unknown=_place(spec, "unknown", values, UNKNOWN_OFFSET),
    )


def _vocabulary(spec: DeclaredField, columns: Mapping[str, pa.Array]) -> tuple[str, ...]:
    """Declared values of a categorical or multi field, or those of the training part."""
    if isinstance(spec.vocabulary, list):
        return tuple(spec.vocabulary)
    raw = columns[spec.name]
    flat = raw.flatten() if spec.kind is FieldKind.MULTI else raw
    return values_by_frequency(flat, spec.max_vocabulary)


def _place(spec: DeclaredField, rule: str, values: tuple[str, ...], own: int) -> int:
    """Place in the block of what a gap or an unknown value means."""
    means = getattr(spec, rule)
    if means == OWN_EMBEDDING:
        return own
    if means not in values:
        raise SchemaError(
            field=f"field {spec.name!r}.{rule}", rule=f"{means!r} is not in the vocabulary"
        )
    return FIRST_VALUE_OFFSET + values.index(means)


def _numeric(spec: DeclaredField, columns: Mapping[str, pa.Array]) -> FittedField:
    if isinstance(spec.buckets, list):
        return _bucketed(spec, tuple(spec.buckets))
    how, _, count = spec.buckets.partition(":")
    if how == "quantile":
        known = columns[spec.name].drop_null()
        return _bucketed(spec, quantile_edges(np.asarray(known, dtype=np.float64), int(count)))
    return FittedField(
        name=spec.name, scope=spec.scope, kind=spec.kind, size=int(count), rank_buckets=int(count)
    )


def _bucketed(spec: DeclaredField, edges: tuple[float, ...]) -> FittedField:
    missing = MISSING_OFFSET
    if spec.missing != OWN_EMBEDDING:
        missing = FIRST_VALUE_OFFSET + int(
            np.searchsorted(edges, float(spec.missing), side="right")
        )
    return FittedField(
        name=spec.name,
        scope=spec.scope,
        kind=spec.kind,
        size=len(edges) + 1,
        edges=edges,
        missing=missing,
    )
