"""The wire format of a rerank request, and the parsed form of both its spellings.

Checks that need no artifact; the service checks field names and graph sizes. `parse_request` is the
entry point: the models alone do not compare one column with another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

from model.contract.errors import MalformedJson, RequestRejected
from model.contract.wire.constraints import Constraints
from model.contract.wire.fast_decoder import (
    FastCandidateColumns,
    FastCandidateRow,
    FastRequestBody,
    decode_fast,
)
from model.contract.wire.size_limits import (
    DEFAULT_NUM_LISTS,
    MAX_FEATURE_CELLS,
    MAX_FEATURE_NAMES,
    MAX_ID_LENGTH,
    MAX_SEED,
)

_MAX_REPORTED_ERRORS = 10  # broken rules that an error response names
_MAX_COLLECTED_ERRORS = 1000  # above it, none is listed: pydantic reports all or none


class _FeatureValueRule:
    """One message for the whole union instead of one per member."""

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        text = core_schema.str_schema(strict=True)
        return core_schema.nullable_schema(
            core_schema.union_schema(
                [
                    core_schema.float_schema(strict=True, allow_inf_nan=False),
                    text,
                    core_schema.list_schema(text, strict=True, fail_fast=True),
                ],
                custom_error_type="feature_value",
                custom_error_message="takes a finite number, a string, a list of strings or null",
            )
        )


WireId = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH)]
FeatureValue = Annotated[float | str | list[str] | None, _FeatureValueRule()]
# lists fail fast: reporting a megabyte of wrong values would block the loop for a second
_FeatureColumn = Annotated[list[FeatureValue], Field(fail_fast=True)]


class RequestModel(BaseModel):
    """Part of a request: unknown keys, other types, NaN and infinity are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Candidate(RequestModel):
    """One candidate item."""

    item_id: WireId
    score: float | None = Field(default=None, description="upstream score; null is missing, not 0")
    features: dict[str, FeatureValue] = Field(
        default_factory=dict,
        max_length=MAX_FEATURE_NAMES,
        description="candidate-scope fields; item-scope fields override the item table",
    )


class CandidateColumns(RequestModel):
    """All candidates, column by column: the fast form."""

    item_id: list[WireId] = Field(min_length=1, fail_fast=True)
    score: Annotated[list[float | None], Field(fail_fast=True)] | None = None
    features: dict[str, _FeatureColumn] = Field(default={}, max_length=MAX_FEATURE_NAMES)


class RequestObjective(RequestModel):
    """Weights of the reward; an absent one is the artifact's default."""

    click: float | None = Field(default=None, ge=0, le=1e6)
    conversion: float | None = Field(default=None, ge=0, le=1e6)
    value: float | None = Field(default=None, ge=0, le=1e6)


class RerankRequestBody(RequestModel):
    """Body of POST /rerank."""

    request_id: WireId | None = Field(default=None, description="returned; made up when absent")
    user_id: WireId
    candidates: Annotated[
        Annotated[list[Candidate], Field(min_length=1, fail_fast=True)] | CandidateColumns,
        Field(union_mode="left_to_right", description="in upstream order, as rows or as columns"),
    ]
    context: dict[str, FeatureValue] = Field(
        default={}, max_length=MAX_FEATURE_NAMES, description="context-scope fields"
    )
    list_size: int | None = Field(default=None, ge=1, description="at most the candidates")
    num_lists: int = Field(default=DEFAULT_NUM_LISTS, ge=1, description="lists to generate")
    seed: int | None = Field(
        default=None, ge=0, le=MAX_SEED, description="derived from request_id when absent"
    )
    budget_ms: float | None = Field(default=None, gt=0, description="time for everything")
    explain: bool = False
    objective: RequestObjective | None = None
    constraints: Constraints | None = None


@dataclass(slots=True)  # frozen, each of its fields would cost a call
class RerankRequest:
    """A checked request, from rows or columns.

    item_ids: N distinct ids in upstream order.
    scores: (N,) float64, NaN where there is none; None when no candidate has one.
    features: field -> N values, None where a candidate has none.
    """

    user_id: str
    item_ids: Sequence[str]
    scores: NDArray[np.float64] | None
    features: Mapping[str, Sequence[Any]]
    body: RerankRequestBody | FastRequestBody

    @property
    def list_size(self) -> int | None:
        """Number of requested slots."""
        return self.body.list_size

    def __len__(self) -> int:
        return len(self.item_ids)


def parse_request(raw: bytes) -> RerankRequest:
    """Read a body; raises MalformedJson, or RequestRejected naming each field and rule."""
    body = decode_fast(raw) or _parse_with_pydantic(raw)
    given = body.candidates
    if isinstance(given, list):
        ids, scores, features = _from_rows(given)
    else:
        ids, scores, features = _from_columns(given)
    if len(set(ids)) != len(ids):
        raise _rejected("candidates", f"item_id {_first_duplicate(ids)!r} stands twice")
    if body.list_size is not None and body.list_size > len(ids):
        raise _rejected("list_size", f"{body.list_size} is more than the {len(ids)} candidates")
    return RerankRequest(body.user_id, ids, scores, features, body)


def _parse_with_pydantic(raw: bytes) -> RerankRequestBody:
    try:
        return RerankRequestBody.model_validate_json(raw)
    except ValidationError as error:
        _raise_request_rejected(error)


_Columns = tuple[list[str], NDArray[np.float64] | None, Mapping[str, Sequence[Any]]]


def _from_columns(given: CandidateColumns | FastCandidateColumns) -> _Columns:
    count = len(given.item_id)
    if given.score is not None and len(given.score) != count:
        raise _rejected("candidates.score", f"{len(given.score)} values for {count} candidates")
    for name, values in given.features.items():
        if len(values) != count:
            raise _rejected(
                f"candidates.features.{name}", f"{len(values)} values for {count} candidates"
            )
    return given.item_id, _scores(given.score), given.features


def _from_rows(given: Sequence[Candidate] | Sequence[FastCandidateRow]) -> _Columns:
    own = [row.features for row in given]
    names = dict.fromkeys(chain.from_iterable(own))  # in order of appearance
    if len(names) > MAX_FEATURE_NAMES:
        raise _rejected(
            "candidates.features", f"{len(names)} names are more than {MAX_FEATURE_NAMES}"
        )
    if len(names) * len(own) > MAX_FEATURE_CELLS:
        rule = f"{len(names)} names for {len(own)} rows are more than {MAX_FEATURE_CELLS} values"
        raise _rejected("candidates.features", f"{rule}; send columns")
    features = {name: [values.get(name) for values in own] for name in names}
    return [row.item_id for row in given], _scores([row.score for row in given]), features


def _scores(values: Sequence[float | None] | None) -> NDArray[np.float64] | None:
    return None if values is None else np.asarray(values, dtype=np.float64)  # None becomes NaN


def _first_duplicate(ids: Sequence[str]) -> str:
    seen: set[str] = set()
    return next(i for i in ids if i in seen or seen.add(i))  # type: ignore[func-returns-value]  # add() is None on purpose


def _rejected(field: str, rule: str) -> RequestRejected:
    return RequestRejected(violations=[(field, rule)])


def _raise_request_rejected(error: ValidationError) -> NoReturn:
    """Raise RequestRejected from pydantic's errors, with wire names and only the intended form."""
    if error.error_count() > _MAX_COLLECTED_ERRORS:
        rule = f"breaks more than {_MAX_COLLECTED_ERRORS} rules: too many to name"
        raise _rejected("body", rule) from None
    broken = []
    for line in error.errors(include_url=False, include_context=False, include_input=False):
        loc = line["loc"]
        if line["type"] == "json_invalid":
            raise MalformedJson(reason=line["msg"].removeprefix("Invalid JSON: ")) from None
        if loc[:1] == ("candidates",) and len(loc) > 1:
            if len(loc) == 2 and line["type"] in {"list_type", "model_type"}:
                continue  # the form that the body does not use
            loc = (loc[0], *loc[2:])
        broken.append((".".join(map(str, loc)) or "body", _rule_text(line["msg"])))
    broken = broken or [("candidates", "takes a list of objects or an object of columns")]
    raise RequestRejected(violations=broken[:_MAX_REPORTED_ERRORS]) from None


def _rule_text(message: str) -> str:
    """Pydantic's message as a rule."""
    return message.removeprefix("Input ").removeprefix("Value error, ")
