"""The use case of one rerank request. Knows neither HTTP nor Redis nor ONNX Runtime.

Late or broken parts never fail a request: it is answered without them and `degraded_reasons` names them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from model.contract.store.user_record import UserRecord
from model.contract.wire.request import RerankRequest
from service.errors import DeadlineExceeded, FeaturesUnavailable, InferenceFailed, NotReady
from service.rerank.answer import timings_ms, write_answer
from service.rerank.arrays import EncodedCandidates, encode_candidates
from service.rerank.begun import Begun
from service.rerank.cost import Cost, most_together
from service.rerank.deadline import Deadline
from service.rerank.explain import explain
from service.rerank.features import read_user
from service.rerank.limits import Limits
from service.rerank.model import Model, ModelHolder
from service.rerank.ports import Worker
from service.rerank.quality import count_quality
from service.rerank.search import search
from service.rerank.steps import Job, Steps
from service.rerank.task import Found, Held, Task
from service.rerank.tasks import build_task, derive_seed
from service.rerank.trial import Trial
from service.telemetry import service_metrics
from service.telemetry.structured_logs import log_event
from service.telemetry.tracing import StageSpan


@dataclass(slots=True)
class Visit:
    """What one request gathers on its way: stage times and what it went without.

    laps: the same stages, piece by piece, with when they began and ended; None where nothing is
        traced.
    artifact: the role of the model that was asked.
    mark: when the last stage ended, on the deadline's clock.
    """

    request_id: str
    deadline: Deadline
    seconds: dict[str, float] = field(default_factory=dict)
    degraded: set[str] = field(default_factory=set)
    laps: list[StageSpan] | None = None
    artifact: service_metrics.ArtifactLabel = "none"
    mark: float = field(default_factory=time.monotonic)

    def lap(self, stage: str) -> None:
        """The time since the last lap belongs to `start_live_stack`, beside what it had."""
        began, now = self.mark, self.deadline.clock()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - began
        if self.laps is not None:
            self.laps.append(StageSpan(stage, began, now))
        self.mark = now

    def searched(self, found: Found) -> None:
        """The stages that the worker timed."""
        generated = found.began + found.generate_s
        self.stage("generate", found.began, generated)
        self.stage("evaluate", generated, generated + found.evaluate_s + found.refine_s)

    def stage(self, stage: str, began: float, ended: float) -> None:
        """One stage, timed by whoever ran it."""
        self.seconds[stage] = ended - began
        if self.laps is not None:
            self.laps.append(StageSpan(stage, began, ended))


class Reranker:
    """Serves rerank requests with whatever model is current."""

    def __init__(
        self, models: ModelHolder, worker: Worker, limits: Limits, trial: Trial | None = None
    ) -> None:
        self.models, self.limits, self.trial = models, limits, trial
        self._worker = worker
        self._feature_budget_s = limits.feature_budget_ms / 1e3

    async def rerank(self, request: RerankRequest, visit: Visit) -> dict[str, Any]:
        """The answer, always, once the request is right; raises a Refusal or ContractError.

        `visit` has the stages before this one; the answer carries all of them.
        """
        model = self._model_of(request.user_id)
        visit.artifact = model.role
        self.limits.check(request, model.manifest)
        encoded, record = await self._gather(model, request, visit)
        asked = request.body.seed
        seed = derive_seed(visit.request_id) if asked is None else asked
        task = await build_task(request, model, encoded, record, seed)
        visit.lap("encode")
        outcome = await self._search(model, request, task, visit)
        found, explanation = outcome if outcome is not None else (None, None)
        answer = write_answer(
            request,
            task,
            found,
            facts={"request_id": visit.request_id, "artifact": model.manifest.artifact},
            degraded=visit.degraded,
            explanation=explanation,
        )
        _count(model, task, visit, encoded.unknown)
        count_quality(model, task, found)
        if self.trial is not None:
            self.trial.shadow(request, seed, self._worker)
        visit.seconds["total"] = visit.deadline.spent_s()
        answer["timings_ms"] = timings_ms(visit.seconds)
        return answer

    async def _gather(
        self, model: Model, request: RerankRequest, visit: Visit
    ) -> tuple[EncodedCandidates, UserRecord | None]:
        """Encoded candidates and the user's record, for which the store is asked first."""
        budget_s = self._feature_budget_s
        fetch = Begun(read_user(model, request.user_id, visit.deadline, budget_s))
        try:
            await asyncio.sleep(0)  # what this turn of the loop has written leaves now
            visit.lap("features")
            encoded = encode_candidates(request, model.encoder, model.items.table)
            visit.lap("encode")
        except BaseException:
            await fetch.give_up()
            raise
        try:
            record = await fetch
        except FeaturesUnavailable as error:
            record = None
            visit.degraded.add("user_features")
            log_event("debug", "features_unavailable", fault=error.fault, waited_ms=error.waited_ms)
        visit.lap("features")
        return encoded, record

    def _model_of(self, user_id: str) -> Model:
        """The canary artifact for the users of its share, else the current one."""
        model = None if self.trial is None else self.trial.pick(user_id)
        model = model or self.models.current
        if model is None:
            raise NotReady
        return model

    async def _search(
        self, model: Model, request: RerankRequest, task: Task, visit: Visit
    ) -> tuple[Found, Mapping[str, Any] | None] | None:
        """What was found and explained; None when no model answered in time."""
        reserve_s = self.limits.answer_reserve_ms / 1e3
        until = visit.deadline.earlier(reserve_s)
        held, explanation = Held(), None
        job = _job(model, request, task, until, held)
        try:
            found, explanation = await self._worker.run(model.graphs, job, until)
        except (DeadlineExceeded, InferenceFailed) as error:
            level = "debug" if isinstance(error, DeadlineExceeded) else "error"
            log_event(level, error.code, reason=str(error), request_id=visit.request_id)
            kept = held.taken(until.clock())
            if kept is None:
                visit.degraded.add("input_order")
                service_metrics.INPUT_ORDER_ANSWERS.labels(model.role, error.code).inc()
                return None
            found = kept
        visit.searched(found)
        if found.cut_short:
            visit.degraded.add("fewer_lists")
        if request.body.explain and explanation is None:
            visit.degraded.add("explanation")
        return found, explanation


_Outcome = tuple[Found, Mapping[str, Any] | None]


def _job(
    model: Model, request: RerankRequest, task: Task, deadline: Deadline, held: Held
) -> Job[_Outcome]:
    """What the worker runs for one request, alone or with others of its size."""
    cost, explains = model.cost[task.has_rows], request.body.explain
    steps = _find(model, request, task, cost, deadline, held)
    kind = None if task.has_rows or explains else task.candidates

    def joins(jobs: int) -> bool:
        needed_s = cost.together(candidates=task.candidates, lists=task.num_lists, requests=jobs)
        return needed_s <= deadline.left_s()

    def share(jobs: int) -> None:
        held.shared = jobs

    return Job(steps, kind, most_together(task.candidates, task.num_lists), joins, share)


def _find(
    model: Model,
    request: RerankRequest,
    task: Task,
    cost: Cost,
    deadline: Deadline,
    held: Held,
) -> Steps[_Outcome]:
    """On the worker's thread: search, then explain when that was asked for and time is left."""
    found = yield from search(task, model.manifest, cost, deadline, held)
    if not request.body.explain:
        return found, None
    return found, (yield from explain(task, found, request.item_ids, deadline))


def _count(model: Model, task: Task, visit: Visit, unknown_items: int) -> None:
    """What one answer went without and did not know."""
    for reason in visit.degraded:
        service_metrics.DEGRADED_ANSWERS.labels(model.role, reason).inc()
    service_metrics.OFFERED_CANDIDATES.inc(task.candidates)
    if unknown_items:
        service_metrics.UNKNOWN_ITEMS.inc(unknown_items)
