"""Reads one user's record within the feature budget and records the outcome as a metric."""

from __future__ import annotations

import time
from collections.abc import Callable

from model.contract.store.user_record import UserRecord
from service.errors import FeaturesUnavailable
from service.rerank.artifact_slot import ServingModel
from service.rerank.deadline import Deadline
from service.rerank.request_encoding import matches_schema
from service.telemetry import service_metrics

_MAX_SHARE = 0.5  # of the time left, so that the search has the rest

WallClock = Callable[[], float]


async def fetch_matching_user(
    model: ServingModel, user_id: str, timeout_s: float
) -> UserRecord | None:
    """The user's record in the model's store, None for an unknown user.

    Raises FeaturesUnavailable, also for a record that does not match the model's schema.
    """
    record = await model.store.fetch_user(user_id, timeout_s=timeout_s)
    if record is not None and not matches_schema(record, model.encoder):
        raise FeaturesUnavailable(
            store="user", fault="unreadable", waited_ms=0.0, budget_ms=timeout_s * 1e3
        )
    return record


async def look_up_user(
    model: ServingModel,
    user_id: str,
    deadline: Deadline,
    *,
    budget_s: float,
    wall_clock: WallClock = time.time,
) -> UserRecord | None:
    """The user's record, None for an unknown user; raises FeaturesUnavailable.

    Takes at most `budget_s` seconds and half of the time left. A cancelled lookup counts as no
    outcome, because the store did not cause it.
    """
    started = deadline.clock()
    timeout_s = min(budget_s, (deadline.ends - started) * _MAX_SHARE)
    if timeout_s <= 0:
        service_metrics.STORE_SECONDS.labels("skipped").observe(0.0)
        raise FeaturesUnavailable(store="user", fault="timeout", waited_ms=0.0, budget_ms=0.0)
    try:
        record = await fetch_matching_user(model, user_id, timeout_s)
    except FeaturesUnavailable as error:
        service_metrics.STORE_SECONDS.series[error.fault,].observe(deadline.clock() - started)
        raise
    outcome = "miss" if record is None else "hit"
    service_metrics.STORE_SECONDS.series[outcome,].observe(deadline.clock() - started)
    if record is not None:
        age_s = max(0.0, wall_clock() - record.written_at_ms / 1e3)
        service_metrics.FEATURE_AGE_SECONDS.series[()].observe(age_s)
    return record
