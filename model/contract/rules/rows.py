"""Wire constraints -> rule rows over the candidates of one request. Searches no list.

A cap or a minimum names a categorical or multi field of items or candidates. An item counts for
each of its values (the first `max_values` of a multi field, as the encoder keeps them). Rows count
encoded values: a gap that the schema replaces by a value counts for that value.
A cap without `value` holds for each value that the candidates have; items with a missing or unknown
value form no group and are not counted together. Rows that no list could break are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.contract.errors import ValueRejected
from model.contract.rules.rule_arrays import BoolArray
from model.contract.schema.declared import FieldKind, FieldScope
from model.contract.schema.fitted import (
    FIRST_VALUE_OFFSET,
    EmbeddingIndices,
    FittedField,
    FittedSchema,
    column_spans,
)
from model.contract.wire.constraints import CONSTRAINTS_PATH, Cap, Constraints, Minimum

MAX_RULE_ROWS = 1024  # the rule graph's time and memory grow with the rows


@dataclass(frozen=True, slots=True)
class RuleRowBlock:
    """Rows of one constraint: each of V values over each of P stretches of slots.

    constraint: its path in the request, `constraints.caps[1]`.
    field, values: the counted values.
    member: (V, N) bool.
    first_slots, window_size: first slot of each stretch, and its number of slots.
    """

    constraint: str
    field: str
    values: Sequence[str]
    member: BoolArray
    first_slots: Sequence[int]
    window_size: int
    minimum: int
    maximum: int

    @property
    def row_count(self) -> int:
        """Number of rows, V * P."""
        return len(self.values) * len(self.first_slots)

    def slot_masks(self, slots: int) -> BoolArray:
        """Slots of each stretch, (P, M) bool."""
        at = np.arange(slots)
        first = np.asarray(self.first_slots)[:, None]
        return np.asarray((at >= first) & (at < first + self.window_size))

    def row_texts(self) -> list[str]:
        """One text per row, value by value."""
        last = self.window_size - 1
        return [
            f"{self.constraint} {self.field}={value} slots {at}-{at + last}"
            for value in self.values
            for at in self.first_slots
        ]


def build_rule_rows(
    constraints: Constraints, schema: FittedSchema, rows: EmbeddingIndices, list_size: int
) -> list[RuleRowBlock]:
    """Rows of caps, then of minimums; raises ValueRejected naming the constraint.

    Args:
        constraints: of the request.
        schema: declares the encoded columns.
        rows: (N, Fc) int32, the encoded candidates.
        list_size: slots of the list.
    """
    fields = {
        field.name: (field, rows[:, at : at + width])
        for field, (at, width) in zip(
            schema.candidate_fields, column_spans(schema.candidate_fields), strict=True
        )
    }
    blocks, total = [], 0
    for at, cap in enumerate(constraints.caps):
        rule = f"{CONSTRAINTS_PATH}.caps[{at}]"
        field, columns = _countable_field(rule, cap.field, fields, schema)
        block = _cap_block(rule, cap, (field, columns, schema.block_starts[cap.field]), list_size)
        total += block.row_count
        if total > MAX_RULE_ROWS:
            raise ValueRejected(
                field=rule,
                rule=f"values and windows of the caps make {total} rows, at most {MAX_RULE_ROWS}",
            )
        if block.row_count:
            blocks.append(block)
    for at, minimum in enumerate(constraints.minimums):
        rule = f"{CONSTRAINTS_PATH}.minimums[{at}]"
        field, columns = _countable_field(rule, minimum.field, fields, schema)
        row = schema.block_starts[minimum.field] + _value_offset(rule, field, minimum.value)
        if minimum.min:
            blocks.append(_minimum_block(rule, minimum, columns == row, list_size))
    return blocks


def _countable_field(
    rule: str,
    name: str,
    fields: dict[str, tuple[FittedField, EmbeddingIndices]],
    schema: FittedSchema,
) -> tuple[FittedField, EmbeddingIndices]:
    """The field and its columns; refuses a field without countable values."""
    if name not in fields:
        known = any(
            f.name == name and f.scope in (FieldScope.USER, FieldScope.CONTEXT)
            for f in schema.fields
        )
        why = "is not a field of items or candidates" if known else "is no field of the schema"
        raise ValueRejected(field=f"{rule}.field", rule=f"{name!r} {why}")
    field, columns = fields[name]
    if field.kind is FieldKind.NUMERIC:
        raise ValueRejected(
            field=f"{rule}.field",
            rule=f"{name!r} is numeric; rules count values of categorical and multi fields",
        )
    if field.kind is FieldKind.ID:
        raise ValueRejected(
            field=f"{rule}.field", rule=f"{name!r} names items one by one: use pinned or exclude"
        )
    return field, columns


def _value_offset(rule: str, field: FittedField, value: str) -> int:
    place = field.value_offsets.get(value)
    if place is None:
        raise ValueRejected(
            field=f"{rule}.value", rule=f"{value!r} is not a value of {field.name!r}"
        )
    return place


def _cap_block(
    rule: str, cap: Cap, counted: tuple[FittedField, EmbeddingIndices, int], list_size: int
) -> RuleRowBlock:
    field, columns, first_row = counted
    if cap.value is None:
        lowest = first_row + FIRST_VALUE_OFFSET
        inside = columns[(columns >= lowest) & (columns < first_row + field.block_size)]
        present: NDArray[np.int32] = np.unique(inside)
    else:
        present = np.asarray([first_row + _value_offset(rule, field, cap.value)], dtype=np.int32)
    member = (columns[None] == present[:, None, None]).any(axis=-1)  # (V, N)
    width = min(cap.window or list_size, list_size)
    binding = member.sum(axis=1) > cap.max
    if cap.max >= width:
        binding[:] = False
    names = field.values or ()
    return RuleRowBlock(
        constraint=rule,
        field=cap.field,
        values=[names[row - first_row - FIRST_VALUE_OFFSET] for row in present[binding].tolist()],
        member=member[binding],
        first_slots=range(list_size - width + 1),
        window_size=width,
        minimum=0,
        maximum=cap.max,
    )


def _minimum_block(rule: str, minimum: Minimum, member: BoolArray, list_size: int) -> RuleRowBlock:
    return RuleRowBlock(
        constraint=rule,
        field=minimum.field,
        values=[minimum.value],
        member=np.asarray(member.any(axis=1))[None],
        first_slots=range(1),
        window_size=list_size,
        minimum=minimum.min,
        maximum=list_size,
    )
