"""The declared feature schema, the content of `schema.toml`. Values seen in data: `fitted.py`.

A feature is one `[[field]]` entry; no feature name is in code. Two candidate-scope fields exist
without an entry, `upstream_score` and `upstream_rank`; `upstream = []` drops them. Add
`"raw_score"` where scores of different requests are comparable.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from model.contract.errors import SchemaError
from model.contract.text_files import NotUtf8Text, read_utf8_text

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

SCHEMA_FORMAT = 1
OWN_EMBEDDING = "own"  # a gap (or an unknown value) has an embedding of its own
ITEM_ID, USER_ID = "item_id", "user_id"
CLICKED, CONVERTED = "clicked", "converted"
UPSTREAM_SCORE, UPSTREAM_RANK = "upstream_score", "upstream_rank"
UPSTREAM_RAW_SCORE = "upstream_raw_score"
UPSTREAM_FIELDS = frozenset({UPSTREAM_SCORE, UPSTREAM_RANK, UPSTREAM_RAW_SCORE})
RESERVED_NAMES = frozenset({ITEM_ID, USER_ID, CLICKED, CONVERTED, *UPSTREAM_FIELDS})
_LOG_COLUMNS = frozenset(
    {"request_id", "timestamp", "candidates", "upstream_scores", "shown", "clicks", "conversions"}
)
_RANK_EDGES = [float(x) for x in (*range(1, 13), 15, 20, 30, 50, 100, 200)]


class FieldScope(StrEnum):
    """The entity that a field describes."""

    USER = "user"
    ITEM = "item"
    CANDIDATE = "candidate"  # true of an item only in this request
    CONTEXT = "context"  # true of the request
    SESSION = "session"  # feedback on a past item; never declared, never part of a list


class FieldKind(StrEnum):
    """How a raw value becomes rows of the embedding table."""

    ID = "id"
    CATEGORICAL = "categorical"
    NUMERIC = "numeric"
    MULTI = "multi"


class DeclaredField(BaseModel):
    """One `[[field]]` of schema.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")
    scope: FieldScope
    kind: FieldKind
    vocabulary: str | list[str] = "fit"  # "fit": the values of the training part
    max_vocabulary: int = Field(default=100_000, ge=1, le=10_000_000)
    buckets: str | list[float] = "quantile:16"  # quantile:B, or the edges
    max_values: int = Field(default=4, ge=1, le=16)  # multi: values kept, in the order given
    missing: str | float = OWN_EMBEDDING  # encoding of a gap: this value, or an own embedding
    unknown: str = OWN_EMBEDDING  # encoding of a value outside the vocabulary

    @model_validator(mode="after")
    def _kind_and_scope_agree(self) -> Self:
        if self.kind is FieldKind.ID or self.scope is FieldScope.SESSION:
            raise ValueError("kind 'id' and scope 'session' are the service's own")
        if self.name in RESERVED_NAMES or self.name in _LOG_COLUMNS:
            raise ValueError(f"the name {self.name!r} is reserved")
        if self.kind is FieldKind.NUMERIC:
            _check_buckets(self.buckets)
            if self.missing != OWN_EMBEDDING and not (
                isinstance(self.missing, float) and math.isfinite(self.missing)
            ):
                raise ValueError("missing of a numeric field is 'own' or a number")
        elif not isinstance(self.missing, str):
            raise ValueError("missing of a categorical or multi field is 'own' or a value")
        return self

    @model_validator(mode="after")
    def _vocabulary_is_usable(self) -> Self:
        if isinstance(self.vocabulary, str) and self.vocabulary != "fit":
            raise ValueError("vocabulary is 'fit' or a list of values")
        if not self.vocabulary:
            raise ValueError("vocabulary is empty")
        if isinstance(self.vocabulary, list) and len(set(self.vocabulary)) != len(self.vocabulary):
            raise ValueError("vocabulary names a value twice")
        return self


class DeclaredSchema(BaseModel):
    """All of `schema.toml`, checked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = SCHEMA_FORMAT
    field: tuple[DeclaredField, ...] = ()
    upstream: tuple[str, ...] = ("score", "rank")
    display: Mapping[str, str] = {}  # for displays only, no input of nets: role -> item column

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [f.name for f in self.field]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"field {twice[0]!r} is declared twice")
        if self.format != SCHEMA_FORMAT:
            raise ValueError(f"format {self.format} is not {SCHEMA_FORMAT}")
        odd = sorted(set(self.upstream) - {"score", "rank", "raw_score"})
        if len(set(self.upstream)) != len(self.upstream):
            raise ValueError("upstream names an entry twice")
        if odd:
            raise ValueError(f"upstream may hold 'score', 'rank' and 'raw_score', not {odd[0]!r}")
        return self

    def fields_in_scope(self, scope: FieldScope) -> tuple[DeclaredField, ...]:
        """Declared fields of one scope, in order, after the built-in upstream fields."""
        own = tuple(f for f in self.field if f.scope is scope)
        return (*self._upstream_fields(), *own) if scope is FieldScope.CANDIDATE else own

    def _upstream_fields(self) -> tuple[DeclaredField, ...]:
        offered = {
            "score": DeclaredField.model_construct(
                name=UPSTREAM_SCORE,
                scope=FieldScope.CANDIDATE,
                kind=FieldKind.NUMERIC,
                buckets="rank_quantile:16",
            ),
            "rank": DeclaredField.model_construct(
                name=UPSTREAM_RANK,
                scope=FieldScope.CANDIDATE,
                kind=FieldKind.NUMERIC,
                buckets=list(_RANK_EDGES),
            ),
            "raw_score": DeclaredField.model_construct(
                name=UPSTREAM_RAW_SCORE,
                scope=FieldScope.CANDIDATE,
                kind=FieldKind.NUMERIC,
                buckets="quantile:32",
            ),
        }
        return tuple(offered[name] for name in self.upstream)


def parse_schema(text: str) -> DeclaredSchema:
    """Parse the text of a schema.toml.

    Raises:
        SchemaError: names the field and the rule, and for an unknown key the allowed keys.
    """
    try:
        raw: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SchemaError(field="schema.toml", rule=f"not TOML: {error}") from error
    try:
        return DeclaredSchema.model_validate(raw)
    except ValidationError as error:
        unknown_keys_first = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        first = unknown_keys_first[0]
        raise SchemaError(
            field=_error_location(raw, first["loc"]), rule=_error_rule(first)
        ) from error


def read_schema(path: Path) -> DeclaredSchema:
    """Read and check a schema.toml; a byte order mark of UTF-8 is accepted.

    Raises:
        SchemaError: names the file, the field and the rule.
    """
    try:
        text = read_utf8_text(path)
    except FileNotFoundError as error:
        raise SchemaError(field=str(path), rule="no such file") from error
    except (OSError, NotUtf8Text) as error:
        raise SchemaError(field=str(path), rule=f"cannot be read: {error}") from error
    try:
        return parse_schema(text)
    except SchemaError as error:
        raise SchemaError(field=error.field, rule=error.rule, file=str(path)) from error


def _error_rule(error: ErrorDetails) -> str:
    """Message of one error; an unknown key is answered with the allowed ones."""
    if error["type"] == "missing":
        return "is missing"
    if error["type"] != "extra_forbidden":
        return error["msg"]
    model = DeclaredField if len(error["loc"]) > 1 else DeclaredSchema
    near = difflib.get_close_matches(str(error["loc"][-1]), model.model_fields, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown key; {hint}Allowed keys are {', '.join(sorted(model.model_fields))}"


def _error_location(raw: Mapping[str, Any], loc: tuple[int | str, ...]) -> str:
    """`field 'price'.buckets` rather than `field.3.buckets`."""
    if len(loc) >= 2 and loc[0] == "field" and isinstance(loc[1], int):
        entry = raw["field"][loc[1]]
        name = entry.get("name", loc[1]) if isinstance(entry, dict) else loc[1]
        return ".".join([f"field {name!r}", *map(str, loc[2:])])
    return ".".join(map(str, loc)) or "schema.toml"


def _check_buckets(buckets: str | list[float]) -> None:
    if isinstance(buckets, list):
        if not buckets or not all(map(math.isfinite, buckets)):
            raise ValueError("bucket edges must be given and be finite")
        if any(b <= a for a, b in pairwise(buckets)):
            raise ValueError("bucket edges must rise")
        return
    how, _, count = buckets.partition(":")
    if how != "quantile" or not count.isdecimal() or not 2 <= int(count) <= 256:
        raise ValueError("buckets is quantile:B (2 <= B <= 256) or a list of edges")
