"""The use case of one rerank request. Knows neither HTTP nor Redis nor ONNX Runtime.

A late or broken part never fails a request: the response names it in `degraded`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from model.contract.store.user_record import UserRecord
from model.contract.wire.request import RerankRequest
from service.errors import DeadlineExceeded, FeaturesUnavailable, InferenceFailed, NotReady
from service.rerank.artifact_slot import ArtifactSlot, ServingModel
from service.rerank.canary_rollout import CanaryRollout
from service.rerank.deadline import Deadline
from service.rerank.explanation import explain_result
from service.rerank.graph_calls import BatchableSearch, GraphCalls
from service.rerank.interfaces import GraphExecutor
from service.rerank.latency_model import max_batch_size
from service.rerank.list_search import search_lists
from service.rerank.quality_metrics import record_quality_metrics
from service.rerank.request_context import RequestContext
from service.rerank.request_encoding import EncodedCandidates, encode_candidates
from service.rerank.request_limits import RequestLimits
from service.rerank.response_builder import build_response, timings_ms
from service.rerank.search_request import PartialResult, SearchRequest, SearchResult
from service.rerank.search_request_builder import build_search_request, derive_seed
from service.rerank.user_lookup import look_up_user
from service.telemetry import service_metrics
from service.telemetry.structured_logs import log_event

_Explanation = Mapping[str, Any] | None
_Outcome = tuple[SearchResult, _Explanation]


class Reranker:
    """Serves rerank requests with the current model, or with the canary for its users."""

    def __init__(
        self,
        artifact_slot: ArtifactSlot,
        executor: GraphExecutor,
        limits: RequestLimits,
        canary: CanaryRollout | None = None,
    ) -> None:
        self.artifact_slot, self.limits, self.canary = artifact_slot, limits, canary
        self._executor = executor
        self._feature_budget_s = limits.feature_budget_ms / 1e3

    async def rerank(self, request: RerankRequest, context: RequestContext) -> dict[str, Any]:
        """Return the response of a valid request; raise a RequestError or ContractError for others.

        The response's timings include the stages that `context` already has.
        """
        model = self._route(request.user_id)
        context.artifact = model.role
        self.limits.check(request, model.manifest)
        encoded, record = await self._encode_and_look_up(model, request, context)
        seed = request.body.seed
        if seed is None:
            seed = derive_seed(context.request_id)
        search_request = await build_search_request(
            request, model, encoded, record=record, seed=seed
        )
        context.record_stage("encode")
        result, explanation = await self._search(model, request, search_request, context)
        response = build_response(
            request,
            search_request,
            result,
            request_id=context.request_id,
            artifact=model.manifest.artifact,
            degraded=context.degraded,
            explanation=explanation,
        )
        _record_request_metrics(model, search_request, context, unknown_items=encoded.unknown)
        record_quality_metrics(model, search_request, result)
        if self.canary is not None:
            self.canary.start_shadow_run(request, seed=seed, executor=self._executor)
        context.seconds["total"] = context.deadline.spent_s()
        response["timings_ms"] = timings_ms(context.seconds)
        return response

    async def _encode_and_look_up(
        self, model: ServingModel, request: RerankRequest, context: RequestContext
    ) -> tuple[EncodedCandidates, UserRecord | None]:
        """Encode the candidates while the store looks up the user."""
        budget_s = self._feature_budget_s
        lookup = asyncio.create_task(
            look_up_user(model, request.user_id, context.deadline, budget_s=budget_s)
        )
        try:
            await asyncio.sleep(0)  # the lookup starts and sends its command
            context.record_stage("features")
            encoded = encode_candidates(request, model.encoder, model.items.table)
            context.record_stage("encode")
        except BaseException:
            lookup.cancel()
            await asyncio.gather(lookup, return_exceptions=True)
            raise
        try:
            record = await lookup
        except FeaturesUnavailable as error:
            record = None
            context.degraded.add("user_features")
            log_event("debug", "features_unavailable", fault=error.fault, waited_ms=error.waited_ms)
        context.record_stage("features")
        return encoded, record

    def _route(self, user_id: str) -> ServingModel:
        """The canary for users in its share, else the current model."""
        model = None if self.canary is None else self.canary.route(user_id)
        model = model or self.artifact_slot.current
        if model is None:
            raise NotReady
        return model

    async def _search(
        self,
        model: ServingModel,
        request: RerankRequest,
        search_request: SearchRequest,
        context: RequestContext,
    ) -> tuple[SearchResult | None, _Explanation]:
        """The result and its explanation; None when no list was scored in time."""
        deadline = context.deadline.earlier(self.limits.answer_reserve_ms / 1e3)
        partial = PartialResult()
        job = _batchable_search(model, request, search_request, deadline=deadline, partial=partial)
        try:
            result, explanation = await self._executor.run(model.graphs, job, deadline)
        except (DeadlineExceeded, InferenceFailed) as error:
            level = "debug" if isinstance(error, DeadlineExceeded) else "error"
            log_event(level, error.code, reason=str(error), request_id=context.request_id)
            snapshot = partial.snapshot(deadline.clock())
            if snapshot is None:
                context.degraded.add("input_order")
                service_metrics.INPUT_ORDER_ANSWERS.labels(model.role, error.code).inc()
                return None, None
            result, explanation = snapshot, None
        context.record_search(result)
        if result.incomplete:
            context.degraded.add("fewer_lists")
        if request.body.explain and explanation is None:
            context.degraded.add("explanation")
        return result, explanation


def _batchable_search(
    model: ServingModel,
    request: RerankRequest,
    search_request: SearchRequest,
    *,
    deadline: Deadline,
    partial: PartialResult,
) -> BatchableSearch[_Outcome]:
    """The executor's job for one request.

    Requests with count rules or an explanation run alone: they need other graphs or a batch of
    their own. All others share runs with requests of the same number of candidates.
    """
    latency = model.latency[search_request.has_count_rules]
    candidates, lists = search_request.num_candidates, search_request.num_lists
    alone = search_request.has_count_rules or request.body.explain

    def meets_deadline_at(batch_size: int) -> bool:
        needed_s = latency.batched_latency(
            candidates=candidates, lists=lists, batch_size=batch_size
        )
        return needed_s <= deadline.left_s()

    def set_batch_size(batch_size: int) -> None:
        partial.batch_size = batch_size

    return BatchableSearch(
        calls=_search_and_explain(
            model, request, search_request, deadline=deadline, partial=partial
        ),
        batch_key=None if alone else candidates,
        max_batch_size=max_batch_size(candidates, lists),
        meets_deadline_at=meets_deadline_at,
        set_batch_size=set_batch_size,
    )


def _search_and_explain(
    model: ServingModel,
    request: RerankRequest,
    search_request: SearchRequest,
    *,
    deadline: Deadline,
    partial: PartialResult,
) -> GraphCalls[_Outcome]:
    """Search, then explain the result if the request asks for it and time is left."""
    latency = model.latency[search_request.has_count_rules]
    result = yield from search_lists(
        search_request, model.manifest, latency, deadline=deadline, partial=partial
    )
    if not request.body.explain:
        return result, None
    explanation = yield from explain_result(
        search_request, result, request.item_ids, deadline=deadline
    )
    return result, explanation


def _record_request_metrics(
    model: ServingModel, request: SearchRequest, context: RequestContext, *, unknown_items: int
) -> None:
    """Count degradations, candidates and unknown items of one response."""
    for reason in context.degraded:
        service_metrics.DEGRADED_ANSWERS.labels(model.role, reason).inc()
    service_metrics.OFFERED_CANDIDATES.inc(request.num_candidates)
    if unknown_items:
        service_metrics.UNKNOWN_ITEMS.inc(unknown_items)
