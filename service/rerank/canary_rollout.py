"""Rollout of a canary artifact: it serves a share of the users, or runs in shadow of all requests.

In shadow, its results reach no response. In both cases its metrics have artifact="canary".
"""

from __future__ import annotations

import asyncio
import hashlib
from functools import partial

from model.contract.errors import ContractError
from model.contract.wire.request import RerankRequest
from service.errors import DeadlineExceeded, FeaturesUnavailable, RerankError
from service.rerank.artifact_slot import ArtifactSlot, ServingModel
from service.rerank.deadline import Clock, Deadline
from service.rerank.graph_calls import run_sequentially
from service.rerank.interfaces import GraphExecutor
from service.rerank.list_search import search_lists
from service.rerank.quality_metrics import record_quality_metrics
from service.rerank.request_encoding import encode_candidates
from service.rerank.request_limits import RequestLimits
from service.rerank.search_request import PartialResult, SearchRequest, SearchResult
from service.rerank.search_request_builder import build_search_request
from service.rerank.user_lookup import fetch_matching_user
from service.telemetry import service_metrics

_HASH_RANGE = 2**32
_HASH_PERSONALIZATION = b"trial"  # part of the assignment: a change moves users


class CanaryRollout:
    """Decides which requests the canary serves or shadows, and runs it in shadow."""

    def __init__(
        self,
        artifact_slot: ArtifactSlot,
        limits: RequestLimits,
        *,
        share: float,
        shadow: bool,
        clock: Clock,
    ) -> None:
        self.artifact_slot = artifact_slot
        self._limits, self._share, self._shadow, self._clock = limits, share, shadow, clock
        self._shadow_run: asyncio.Task[None] | None = None

    def route(self, user_id: str) -> ServingModel | None:
        """The canary for users in its share, else None. Every process selects the same users."""
        if not self._share:
            return None
        digest = hashlib.blake2b(
            user_id.encode(), digest_size=4, person=_HASH_PERSONALIZATION
        ).digest()
        in_share = int.from_bytes(digest, "little") < self._share * _HASH_RANGE
        return self.artifact_slot.current if in_share else None

    def start_shadow_run(
        self, request: RerankRequest, *, seed: int, executor: GraphExecutor
    ) -> None:
        """Run the canary on an answered request, unless its last shadow run still goes on."""
        model = self.artifact_slot.current
        if not self._shadow or model is None:
            return
        if self._shadow_run is not None and not self._shadow_run.done():
            service_metrics.SHADOW_RUNS.labels("skipped").inc()
            return
        run = self._run_in_shadow(model, request, seed=seed, executor=executor)
        self._shadow_run = asyncio.create_task(run)

    async def finish(self) -> None:
        """Wait for a shadow run in progress."""
        if self._shadow_run is not None:
            await asyncio.wait([self._shadow_run])

    async def _run_in_shadow(
        self, model: ServingModel, request: RerankRequest, *, seed: int, executor: GraphExecutor
    ) -> None:
        now = self._clock()
        deadline = Deadline(now, now + self._limits.budget_s(None), self._clock)
        try:
            self._limits.check(request, model.manifest)
            record = await fetch_matching_user(model, request.user_id, deadline.left_s() / 2)
            encoded = encode_candidates(request, model.encoder, model.items.table)
            search_request = await build_search_request(
                request, model, encoded, record=record, seed=seed
            )
            result = await _search(model, search_request, executor, deadline=deadline)
            record_quality_metrics(model, search_request, result)
        except FeaturesUnavailable:  # caused by the store, not by the canary
            service_metrics.SHADOW_RUNS.labels("skipped").inc()
        except (RerankError, ContractError):
            service_metrics.SHADOW_RUNS.labels("failed").inc()
        else:
            evaluate_s = result.evaluate_s + result.refine_s
            service_metrics.STAGE_SECONDS.labels(model.role, "generate").observe(result.generate_s)
            service_metrics.STAGE_SECONDS.labels(model.role, "evaluate").observe(evaluate_s)
            service_metrics.SHADOW_RUNS.labels("done").inc()


async def _search(
    model: ServingModel, request: SearchRequest, executor: GraphExecutor, *, deadline: Deadline
) -> SearchResult:
    """The search's result, or its partial result at the deadline."""
    partial_result, latency = PartialResult(), model.latency[request.has_count_rules]
    calls = search_lists(
        request, model.manifest, latency, deadline=deadline, partial=partial_result
    )
    try:
        return await executor.run(model.graphs, partial(run_sequentially, calls=calls), deadline)
    except DeadlineExceeded:
        snapshot = partial_result.snapshot(deadline.clock())
        if snapshot is None:
            raise
        return snapshot
