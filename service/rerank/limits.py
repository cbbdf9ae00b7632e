"""What this process and its artifact take: sizes and weights of a request, checked once."""

from __future__ import annotations

from dataclasses import dataclass, replace

from model.contract.artifact.manifest import Manifest
from model.contract.errors import RequestRejected
from model.contract.scoring.objective import RewardWeights
from model.contract.wire.request import RerankRequest
from service.errors import LimitExceeded


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits and budgets of a process."""

    request_budget_ms: float = 50.0
    max_budget_ms: float = 1000.0
    feature_budget_ms: float = 10.0
    answer_reserve_ms: float = 1.0
    max_candidates: int = 500
    max_num_lists: int = 64

    def budget_s(self, asked_ms: float | None) -> float:
        """Seconds that a request may take: what it asks, capped."""
        return min(asked_ms or self.request_budget_ms, self.max_budget_ms) / 1e3

    def check(self, request: RerankRequest, manifest: Manifest) -> None:
        """Raise LimitExceeded for a size above what graphs or process take."""
        sizes = manifest.lengths
        most = min(self.max_candidates, sizes.max_candidates)
        found = (
            ("candidates", most, len(request)),
            ("list_size", sizes.slots, request.body.list_size or 1),
            ("num_lists", self.max_num_lists, request.body.num_lists),
        )
        for field, limit, size in found:
            if size > limit:
                raise LimitExceeded(field=field, limit=limit, actual=size)


def list_size(request: RerankRequest, manifest: Manifest) -> int:
    """Slots of the answer: what is asked for, or the manifest's default, at most N."""
    return request.body.list_size or min(manifest.lengths.default_list_size, len(request))


def objective(request: RerankRequest, manifest: Manifest) -> RewardWeights:
    """Weights of the request over the manifest's; raises RequestRejected for one without a base."""
    base, asked = manifest.objective, request.body.objective
    if asked is None:
        return base.reward_weights
    made = replace(base.reward_weights, **asked.model_dump(exclude_none=True))
    if (asked.conversion or asked.value) and not manifest.converts:
        raise _rejected("conversion", "this artifact was trained without conversions")
    if asked.value and base.value_field is None:
        raise _rejected("value", "this artifact names no field to take values from")
    if not (made.click or made.conversion or made.value):
        raise _rejected("click", "at least one weight must be above 0")
    return made


def _rejected(weight: str, rule: str) -> RequestRejected:
    return RequestRejected(violations=[(f"objective.{weight}", rule)])
