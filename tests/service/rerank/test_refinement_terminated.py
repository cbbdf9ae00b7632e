"""A terminated or failed refinement: the answer is the one without refinement."""

import time
from typing import Any

import pytest

from model.contract.artifact.manifest import REFINER_GRAPH
from service.errors import DeadlineExceeded, InferenceFailed
from service.inference.graphs import OrtGraphs, OrtRun
from service.rerank.artifact_slot import ArtifactSlot
from service.rerank.canary_rollout import CanaryRollout
from service.rerank.request_limits import RequestLimits
from service.rerank.reranker import Reranker
from tests.service.asking import ask, body_of, model_of, reranker_of
from tests.service.inference.endless_graphs import EndlessRefiner
from tests.service.rerank.test_canary_rollout import count, shadow_outcomes
from tests.service.rerank.test_refinement import with_refine_rounds


async def test_terminated_refine_step_leaves_the_unrefined_answer(pair, executor):
    body, budget_s = body_of(pair, num_lists=2), 0.4
    unrefined = await ask(reranker_of(model_of(with_refine_rounds(pair, 0)), executor), body)
    began = time.monotonic()
    endless = reranker_of(model_of(pair, graphs=EndlessRefiner(pair)), executor)
    answer = await ask(endless, body, budget_s=budget_s)
    lasted = time.monotonic() - began
    next_answer = await ask(reranker_of(model_of(pair), executor), body, 3.0)

    assert answer["degraded"] == ["fewer_lists"]
    assert answer["items"] == unrefined["items"]
    assert answer["reward"] == unrefined["reward"]
    assert budget_s / 2 < answer["timings_ms"]["evaluate"] / 1e3 <= lasted < budget_s + 0.5
    assert next_answer["degraded"] == []


class FailingRun(OrtRun):
    """Fails in the refiner, and runs out of time when the evaluator gets many lists."""

    def refine(self, arrays: Any, *, rules: bool) -> Any:
        raise InferenceFailed(graph=REFINER_GRAPH, reason="broken")

    def evaluate(self, arrays: Any) -> Any:
        if arrays["lists"].shape[1] > 8:
            raise DeadlineExceeded(stage="evaluator", remaining_ms=0.0)
        return super().evaluate(arrays)


class FailingGraphs(OrtGraphs):
    """Graphs whose jobs run on FailingRun."""

    def bind(self) -> OrtRun:
        return FailingRun(self)


@pytest.mark.parametrize(("rounds", "missing"), [(8, "fewer_lists"), (0, "explanation")])
async def test_failed_refinement_or_explanation_keeps_the_list(pair, executor, rounds, missing):
    body = body_of(pair, num_lists=2, explain=rounds == 0)
    unrefined = await ask(reranker_of(model_of(with_refine_rounds(pair, 0)), executor), body)
    graphs = FailingGraphs(pair.manifest, pair.graphs.sessions)
    model = model_of(with_refine_rounds(pair, rounds), graphs=graphs)
    answer = await ask(reranker_of(model, executor), body)

    assert answer["degraded"] == [missing]
    assert answer["items"] == unrefined["items"]
    assert answer["reward"] == unrefined["reward"]


async def test_terminated_refinement_in_shadow_is_still_measured(pair, executor):
    canary_slot, limits = ArtifactSlot(), RequestLimits(request_budget_ms=400.0)
    canary_slot.swap(model_of(pair, graphs=EndlessRefiner(pair), role="canary"))
    canary = CanaryRollout(canary_slot, limits, share=0.0, shadow=True, clock=time.monotonic)
    current = reranker_of(model_of(with_refine_rounds(pair, 0)), executor).artifact_slot
    before, rewards = shadow_outcomes(), count("rerank_reward_count", artifact="canary")

    await ask(Reranker(current, executor, limits, canary), body_of(pair))
    await canary.finish()

    assert [a - b for a, b in zip(shadow_outcomes(), before, strict=True)] == [1, 0, 0]
    assert count("rerank_reward_count", artifact="canary") == rewards + 1
