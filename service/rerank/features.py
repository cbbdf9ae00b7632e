"""Reading one user within what is left of the budget, and counting how it went."""

from __future__ import annotations

import time
from collections.abc import Callable

from model.contract.store.user_record import UserRecord
from service.errors import FeaturesUnavailable
from service.rerank.arrays import fits
from service.rerank.deadline import Deadline
from service.rerank.model import Model
from service.telemetry import service_metrics

_SHARE = 0.5  # of the time left that the store may take at most: the model comes after it

WallClock = Callable[[], float]


async def fetch_fitting(model: Model, user_id: str, timeout_s: float) -> UserRecord | None:
    """What the model's store holds of a user, as long as it fits the model's schema.

    Raises FeaturesUnavailable: columns that the graphs cannot take are unreadable bytes too.
    """
    record = await model.store.fetch_user(user_id, timeout_s=timeout_s)
    if record is not None and not fits(record, model.encoder):
        raise FeaturesUnavailable(
            store="user", fault="unreadable", waited_ms=0.0, budget_ms=timeout_s * 1e3
        )
    return record


async def read_user(
    model: Model,
    user_id: str,
    deadline: Deadline,
    budget_s: float,
    wall: WallClock = time.time,
) -> UserRecord | None:
    """The user's record, None for an unknown user; raises FeaturesUnavailable.

    Given up by its caller, it counts as nothing: the store is not to blame.
    """
    began = deadline.clock()
    timeout_s = min(budget_s, (deadline.ends - began) * _SHARE)
    if timeout_s <= 0:
        service_metrics.STORE_SECONDS.labels("skipped").observe(0.0)
        raise FeaturesUnavailable(store="user", fault="timeout", waited_ms=0.0, budget_ms=0.0)
    try:
        record = await fetch_fitting(model, user_id, timeout_s)
    except FeaturesUnavailable as error:
        service_metrics.STORE_SECONDS.series[error.fault,].observe(deadline.clock() - began)
        raise
    outcome = "miss" if record is None else "hit"
    service_metrics.STORE_SECONDS.series[outcome,].observe(deadline.clock() - began)
    if record is not None:
        service_metrics.FEATURE_AGE_SECONDS.series[()].observe(
            max(0.0, wall() - record.written_at_ms / 1e3)
        )
    return record
