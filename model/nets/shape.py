"""What a net must know of a schema and of the log: where fields lie, and how long things are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from model.contract.fitted import FittedSchema, spans

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Fields:
    """(first column, width) of each field; field 0 of candidate and session is the item id."""

    table_rows: int
    candidate: tuple[Span, ...]
    session: tuple[Span, ...]
    user: tuple[Span, ...]

    @classmethod
    def of(cls, schema: FittedSchema) -> Self:
        """Read the places off a fitted schema."""
        return cls(
            table_rows=schema.table_rows,
            candidate=tuple(spans(schema.candidate_fields)),
            session=tuple(spans(schema.session_fields)),
            user=tuple(spans(schema.user_fields)),
        )
