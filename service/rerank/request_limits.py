"""Limits of the process and of its artifact on a request, and the request's own objective."""

from __future__ import annotations

from dataclasses import dataclass, replace

from model.contract.artifact.manifest import Manifest
from model.contract.errors import RequestRejected
from model.contract.scoring.objective import RewardWeights
from model.contract.wire.request import RerankRequest
from service.errors import LimitExceeded


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """Limits and time budgets of a process."""

    request_budget_ms: float = 50.0
    max_budget_ms: float = 1000.0
    feature_budget_ms: float = 10.0
    answer_reserve_ms: float = 1.0
    max_candidates: int = 500
    max_num_lists: int = 64

    def budget_s(self, requested_ms: float | None) -> float:
        """Time budget of a request in seconds: the requested or the default one, capped."""
        return min(requested_ms or self.request_budget_ms, self.max_budget_ms) / 1e3

    def check(self, request: RerankRequest, manifest: Manifest) -> None:
        """Raise LimitExceeded for a size above the limits of the graphs or of the process."""
        sizes = manifest.lengths
        max_candidates = min(self.max_candidates, sizes.max_candidates)
        checks = (
            ("candidates", max_candidates, len(request)),
            ("list_size", sizes.slots, request.body.list_size or 1),
            ("num_lists", self.max_num_lists, request.body.num_lists),
        )
        for field, limit, size in checks:
            if size > limit:
                raise LimitExceeded(field=field, limit=limit, actual=size)


def served_list_size(request: RerankRequest, manifest: Manifest) -> int:
    """Number of slots of the response: as requested, or the manifest's default, at most N."""
    return request.body.list_size or min(manifest.lengths.default_list_size, len(request))


def request_objective(request: RerankRequest, manifest: Manifest) -> RewardWeights:
    """Objective weights of the request, the manifest's where it names none.

    Raises RequestRejected for a weight that the artifact cannot apply.
    """
    default, requested = manifest.objective, request.body.objective
    if requested is None:
        return default.reward_weights
    merged = replace(default.reward_weights, **requested.model_dump(exclude_none=True))
    if (requested.conversion or requested.value) and not manifest.converts:
        raise _rejected_weight("conversion", "this artifact was trained without conversions")
    if requested.value and default.value_field is None:
        raise _rejected_weight("value", "this artifact names no field to take values from")
    if not (merged.click or merged.conversion or merged.value):
        raise _rejected_weight("click", "at least one weight must be above 0")
    return merged


def _rejected_weight(weight: str, rule: str) -> RequestRejected:
    return RequestRejected(violations=[(f"objective.{weight}", rule)])
