"""One logged request on its way from a data set to a canonical log, and the rules that drop it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from model.data.log.limits import (
    MAX_ID_LENGTH,
    MAX_TIMESTAMP_MS,
    MIN_TIMESTAMP_MS,
    ListLimits,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpressionRow:
    """One row of the impressions.

    candidates: item ids in upstream order.  shown: item ids by slot.
    clicks, conversions: 0 or 1 a shown item; conversions None: not known.
    scores: upstream scores a candidate, or None.
    context: field -> value.  candidate_values: field -> one value a candidate.
    """

    request_id: str
    user_id: str
    timestamp: int
    candidates: Sequence[str]
    shown: Sequence[str]
    clicks: Sequence[int]
    conversions: Sequence[int] | None = None
    scores: Sequence[float | None] | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    candidate_values: Mapping[str, Sequence[Any]] = field(default_factory=dict)


def drop_reason(request: ImpressionRow, limits: ListLimits) -> str | None:
    """Why a canonical log cannot hold this request; None where it can."""
    if not request.candidates:
        return "no candidates"
    if not request.shown:
        return "nothing shown"
    if len(request.candidates) > limits.max_candidates:
        return f"more than {limits.max_candidates} candidates"
    if len(request.shown) > limits.max_shown:
        return f"more than {limits.max_shown} shown items"
    if not MIN_TIMESTAMP_MS <= request.timestamp <= MAX_TIMESTAMP_MS:
        return "time outside the years 1990 to 2100"
    ids = (request.request_id, request.user_id, *request.candidates)
    if not all(0 < len(text) <= MAX_ID_LENGTH for text in ids):
        return f"an id that is empty or longer than {MAX_ID_LENGTH} characters"
    return None


def without_repeated_items(request: ImpressionRow) -> ImpressionRow:
    """The request with the first of repeated items only; their labels are joined by maximum."""
    kept = _first_indices(request.candidates)
    slots = _first_indices(request.shown)
    if len(kept) == len(request.candidates) and len(slots) == len(request.shown):
        return request
    return replace(
        request,
        candidates=[request.candidates[i] for i in kept],
        scores=None if request.scores is None else [request.scores[i] for i in kept],
        candidate_values={
            name: [values[i] for i in kept] for name, values in request.candidate_values.items()
        },
        shown=[request.shown[i] for i in slots],
        clicks=_joined(request.shown, request.clicks),
        conversions=(
            None if request.conversions is None else _joined(request.shown, request.conversions)
        ),
    )


def _first_indices(ids: Sequence[str]) -> list[int]:
    first: dict[str, int] = {}
    for index, text in enumerate(ids):
        first.setdefault(text, index)
    return list(first.values())


def _joined(ids: Sequence[str], labels: Sequence[int]) -> list[int]:
    best: dict[str, int] = {}
    for text, label in zip(ids, labels, strict=True):
        best[text] = max(best.get(text, 0), label)
    return list(best.values())
