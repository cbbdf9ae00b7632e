"""Positions of fields in the columns of a batch, read from a fitted schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from model.contract.schema.fitted import FittedSchema, column_spans

ColumnSpan = tuple[int, int]


@dataclass(frozen=True, slots=True)
class FieldLayout:
    """(first column, width) of each field; field 0 of candidate and session is the item id."""

    num_embeddings: int
    candidate: tuple[ColumnSpan, ...]
    session: tuple[ColumnSpan, ...]
    user: tuple[ColumnSpan, ...]

    @classmethod
    def from_schema(cls, schema: FittedSchema) -> Self:
        """Read the column spans of a fitted schema."""
        return cls(
            num_embeddings=schema.num_embeddings,
            candidate=tuple(column_spans(schema.candidate_fields)),
            session=tuple(column_spans(schema.session_fields)),
            user=tuple(column_spans(schema.user_fields)),
        )
