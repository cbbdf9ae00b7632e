"""Items for display: title and values, decoded from the artifact's item table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from model.contract.encoding.encoder import FeatureEncoder
from model.contract.schema.declared import FieldKind, FieldScope
from model.contract.schema.fitted import FIRST_VALUE_OFFSET, FittedSchema
from model.contract.schema.item_table import ItemTable

_RULE_KINDS = (
    FieldKind.CATEGORICAL,
    FieldKind.MULTI,
)  # kinds of fields that caps and minimums may name


def describe_items(
    ids: Sequence[str],
    features: Mapping[str, Sequence[Any]],
    table: ItemTable,
    encoder: FeatureEncoder,
) -> list[dict[str, Any]]:
    """Title, raw numbers and values of each candidate; values of the request replace the table's.

    Args:
        ids: candidates.
        features: candidate columns of the request.
        table: of the artifact that serves.
        encoder: of its schema.
    """
    titles = table.display.get("title")
    out = []
    for at, (item_id, place) in enumerate(zip(ids, table.row_indices(ids).tolist(), strict=True)):
        known = place >= 0
        own = {name: column[at] for name, column in features.items() if column[at] is not None}
        numbers = {name: float(column[place]) for name, column in table.numbers.items() if known}
        out.append(
            {
                "item_id": item_id,
                "title": titles[place] if known and titles is not None else item_id,
                "numbers": {k: v for k, v in numbers.items() if not math.isnan(v)},
                "values": (_decoded(table, encoder, place) if known else {}) | _texts(own),
            }
        )
    return out


def rule_fields(schema: FittedSchema) -> list[str]:
    """Names of the fields that caps and minimums may name."""
    return [
        f.name
        for f in schema.fields_in_scopes(FieldScope.ITEM, FieldScope.CANDIDATE)
        if f.kind in _RULE_KINDS
    ]


def _decoded(table: ItemTable, encoder: FeatureEncoder, place: int) -> dict[str, list[str]]:
    """Values of an item's own categorical and multi fields; a gap has none."""
    schema = encoder.schema
    out = {}
    for field in schema.fields_in_scopes(FieldScope.ITEM):
        if field.kind in _RULE_KINDS and field.values is not None:
            first, width = encoder.item_column_spans[field.name]
            inside = table.rows[place, first : first + width] - schema.block_starts[field.name]
            out[field.name] = [
                field.values[v - FIRST_VALUE_OFFSET]
                for v in inside.tolist()
                if v >= FIRST_VALUE_OFFSET
            ]
    return out


def _texts(own: Mapping[str, Any]) -> dict[str, list[str]]:
    """A request's own values as texts, without the numbers."""
    return {
        name: [value] if isinstance(value, str) else list(value)
        for name, value in own.items()
        if isinstance(value, str | list)
    }
