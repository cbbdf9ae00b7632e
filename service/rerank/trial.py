"""A canary artifact on trial: it serves a share of the users, or runs in shadow of all answers.

In shadow nothing of it reaches an answer; both ways its metrics carry artifact="canary".
"""

from __future__ import annotations

import asyncio
import hashlib
from functools import partial

from model.contract.errors import ContractError
from model.contract.wire.request import RerankRequest
from service.errors import DeadlineExceeded, FeaturesUnavailable, RerankError
from service.rerank.arrays import encode_candidates
from service.rerank.deadline import Clock, Deadline
from service.rerank.features import fetch_fitting
from service.rerank.limits import Limits
from service.rerank.model import Model, ModelHolder
from service.rerank.ports import Worker
from service.rerank.quality import count_quality
from service.rerank.search import search
from service.rerank.steps import answered
from service.rerank.task import Found, Held, Task
from service.rerank.tasks import build_task
from service.telemetry import service_metrics

_POINTS = 2**32


class Trial:
    """Who meets the candidate, and how."""

    def __init__(
        self, models: ModelHolder, limits: Limits, *, share: float, shadow: bool, clock: Clock
    ) -> None:
        self.models = models
        self._limits, self._share, self._in_shadow, self._clock = limits, share, shadow, clock
        self._running: asyncio.Task[None] | None = None

    def pick(self, user_id: str) -> Model | None:
        """The candidate for a user of its share; the same users on every machine."""
        if not self._share:
            return None
        digest = hashlib.blake2b(user_id.encode(), digest_size=4, person=b"trial").digest()
        inside = int.from_bytes(digest, "little") < self._share * _POINTS
        return self.models.current if inside else None

    def shadow(self, request: RerankRequest, seed: int, worker: Worker) -> None:
        """Run the candidate on an answered request, unless it is still busy with another one."""
        model = self.models.current
        if not self._in_shadow or model is None:
            return
        if self._running is not None and not self._running.done():
            service_metrics.SHADOW_RUNS.labels("skipped").inc()
            return
        self._running = asyncio.ensure_future(self._run(model, request, seed, worker))

    async def finish(self) -> None:
        """Wait for the run in the shadow, if there is one."""
        if self._running is not None:
            await asyncio.wait([self._running])

    async def _run(self, model: Model, request: RerankRequest, seed: int, worker: Worker) -> None:
        now = self._clock()
        deadline = Deadline(now, now + self._limits.budget_s(None), self._clock)
        try:
            self._limits.check(request, model.manifest)
            record = await fetch_fitting(model, request.user_id, deadline.left_s() / 2)
            encoded = encode_candidates(request, model.encoder, model.items.table)
            task = await build_task(request, model, encoded, record, seed)
            found = await _found(model, task, worker, deadline)
            count_quality(model, task, found)
        except FeaturesUnavailable:  # the store's fault, not the candidate's
            service_metrics.SHADOW_RUNS.labels("skipped").inc()
        except (RerankError, ContractError):
            service_metrics.SHADOW_RUNS.labels("failed").inc()
        else:
            service_metrics.STAGE_SECONDS.labels(model.role, "generate").observe(found.generate_s)
            service_metrics.STAGE_SECONDS.labels(model.role, "evaluate").observe(
                found.evaluate_s + found.refine_s
            )
            service_metrics.SHADOW_RUNS.labels("done").inc()


async def _found(model: Model, task: Task, worker: Worker, deadline: Deadline) -> Found:
    """What the search found, or had by its deadline."""
    held, cost = Held(), model.cost[task.has_rows]
    steps = search(task, model.manifest, cost, deadline, held)
    try:
        return await worker.run(model.graphs, partial(answered, steps=steps), deadline)
    except DeadlineExceeded:
        kept = held.taken(deadline.clock())
        if kept is None:
            raise
        return kept
