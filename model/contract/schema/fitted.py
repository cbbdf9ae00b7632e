"""The fitted schema: declared fields with vocabularies and bucket edges of the training part.

It fixes the one embedding table that every encoded array indexes: row 0 is padding, then each
field owns a block `[missing, unknown, value 0, value 1, ..]`. Encoded arrays hold rows of that
table, so a net needs one lookup and no offsets.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator

from model.contract.schema.declared import (
    CLICKED,
    CONVERTED,
    ITEM_ID,
    USER_ID,
    FieldKind,
    FieldScope,
)

EmbeddingIndices = NDArray[np.int32]  # rows of the embedding table, any shape
PADDING_INDEX = 0
MISSING_OFFSET, UNKNOWN_OFFSET, FIRST_VALUE_OFFSET = 0, 1, 2  # offsets inside a field's block


class FittedField(BaseModel):
    """One field with all values needed to encode it.

    size: distinguished values or buckets (the block has `FIRST_VALUE_OFFSET + size` rows).
    missing, unknown: offset inside the block for a gap and for an unknown value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    scope: FieldScope
    kind: FieldKind
    size: int
    values: tuple[str, ...] | None = None  # categorical, multi
    edges: tuple[float, ...] | None = None  # numeric, rising
    rank_buckets: int | None = None  # numeric, bucketed by rank within the request
    width: int = 1  # columns: more than one for multi
    missing: int = MISSING_OFFSET
    unknown: int = UNKNOWN_OFFSET
    digest: str | None = None  # id fields: hash of the ids, which are kept elsewhere

    @model_validator(mode="after")
    def _size_is_that_of_its_content(self) -> Self:
        held = {
            "values": self.values and len(self.values),
            "edges": None if self.edges is None else len(self.edges) + 1,
            "rank_buckets": self.rank_buckets,
        }
        wrong = [name for name, size in held.items() if size is not None and size != self.size]
        if wrong:
            raise ValueError(f"{self.name}: size {self.size} is not that of its {wrong[0]}")
        if not (0 <= self.missing < self.block_size and 0 <= self.unknown < self.block_size):
            raise ValueError(f"{self.name}: missing and unknown must lie inside the block")
        return self

    @property
    def block_size(self) -> int:
        """Rows of the embedding table that belong to this field."""
        return FIRST_VALUE_OFFSET + self.size

    @cached_property
    def value_offsets(self) -> dict[str, int]:
        """Value -> its offset inside the block (categorical, multi)."""
        return {value: FIRST_VALUE_OFFSET + at for at, value in enumerate(self.values or ())}


class FittedSchema(BaseModel):
    """Fields in encoding order, and the location of each in the arrays.

    Column order: item fields (`item_id` first), candidate fields, session feedback, user fields
    (`user_id` first), context fields.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fields: tuple[FittedField, ...]
    display: dict[str, str] = {}

    @model_validator(mode="after")
    def _names_are_unique_and_ids_lead(self) -> Self:
        names = [f.name for f in self.fields]
        if len(set(names)) != len(names):
            raise ValueError("a field stands twice")
        late = [
            f.name
            for s in FieldScope
            for f in self.fields_in_scopes(s)[1:]
            if f.kind is FieldKind.ID
        ]
        if late:
            raise ValueError(f"{late[0]} must be the first field of its scope")
        return self

    @cached_property
    def block_starts(self) -> dict[str, int]:
        """Field name -> first row of its block in the embedding table."""
        rows, at = {}, PADDING_INDEX + 1
        for field in self.fields:
            rows[field.name] = at
            at += field.block_size
        return rows

    @cached_property
    def num_embeddings(self) -> int:
        """Rows of the embedding table, padding included."""
        return PADDING_INDEX + 1 + sum(f.block_size for f in self.fields)

    def fields_in_scopes(self, *scopes: FieldScope) -> tuple[FittedField, ...]:
        """Fields of the given scopes, scope by scope, in encoding order."""
        return tuple(f for scope in scopes for f in self.fields if f.scope is scope)

    def field(self, name: str) -> FittedField:
        """The field of this name (KeyError when there is none)."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, FittedField]:
        return {f.name: f for f in self.fields}

    @cached_property
    def candidate_fields(self) -> tuple[FittedField, ...]:
        """Fields of a candidate: item scope, then candidate scope (Fc columns)."""
        return self.fields_in_scopes(FieldScope.ITEM, FieldScope.CANDIDATE)

    @cached_property
    def session_fields(self) -> tuple[FittedField, ...]:
        """Fields of a past item: item scope, then clicked and converted (Fs columns)."""
        return self.fields_in_scopes(FieldScope.ITEM, FieldScope.SESSION)

    @cached_property
    def user_fields(self) -> tuple[FittedField, ...]:
        """Fields of the user and of the request's context (Fu columns)."""
        return self.fields_in_scopes(FieldScope.USER, FieldScope.CONTEXT)

    @cached_property
    def hash(self) -> str:
        """Sixteen hex digits that change with the meaning of any encoded array."""
        meaning = self.model_dump(mode="json", exclude={"display"})  # no part of arrays
        canonical = json.dumps(meaning, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def column_count(fields: Iterable[FittedField]) -> int:
    """Number of array columns of these fields."""
    return sum(f.width for f in fields)


def column_spans(fields: Iterable[FittedField]) -> list[tuple[int, int]]:
    """(first column, width) of each field, in order."""
    out, at = [], 0
    for field in fields:
        out.append((at, field.width))
        at += field.width
    return out


def id_field(name: str, scope: FieldScope, ids: Iterable[str]) -> FittedField:
    """The field of item or user ids; an id outside the training part is `unknown`."""
    known = list(ids)
    digest = hashlib.sha256(json.dumps(known).encode()).hexdigest()[:16]
    return FittedField(name=name, scope=scope, kind=FieldKind.ID, size=len(known), digest=digest)


def feedback_fields() -> tuple[FittedField, FittedField]:
    """The fields `clicked` and `converted` of a past item."""
    return (
        _feedback_field(CLICKED),
        _feedback_field(CONVERTED),
    )


def _feedback_field(name: str) -> FittedField:
    return FittedField(
        name=name, scope=FieldScope.SESSION, kind=FieldKind.CATEGORICAL, size=2, values=("0", "1")
    )


def fitted_schema_from_json(raw: dict[str, Any]) -> FittedSchema:
    """Rebuild a fitted schema from its JSON form."""
    return FittedSchema.model_validate(raw)


__all__ = [
    "FIRST_VALUE_OFFSET",
    "ITEM_ID",
    "MISSING_OFFSET",
    "PADDING_INDEX",
    "UNKNOWN_OFFSET",
    "USER_ID",
    "FittedField",
    "FittedSchema",
    "column_spans",
    "feedback_fields",
    "fitted_schema_from_json",
    "id_field",
]
