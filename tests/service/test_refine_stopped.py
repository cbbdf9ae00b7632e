"""A refinement that is stopped or fails under a real worker: the answer is the one without it."""

import time
from typing import Any

import numpy as np
import pytest

from model.contract.artifact.manifest import REFINER_GRAPH
from service.errors import DeadlineExceeded, InferenceFailed
from service.inference.artifact import Artifact
from service.inference.graphs import OrtGraphs, OrtRun, open_session
from service.inference.loop_worker import LoopWorker
from service.inference.worker import ThreadWorker
from service.rerank.limits import Limits
from service.rerank.model import ModelHolder
from service.rerank.reranker import Reranker
from service.rerank.trial import Trial
from tests.service.asking import ask, body_of, model_of, reranker_of
from tests.service.test_refine import told
from tests.service.test_stuck_graph import endless_model
from tests.service.test_trial import count


class StuckRefiner(OrtGraphs):
    """An artifact's graphs whose refiner never ends."""

    def __init__(self, artifact: Artifact) -> None:
        sessions = artifact.graphs.sessions | {REFINER_GRAPH: open_session(endless_model())}
        super().__init__(artifact.manifest, sessions)

    def bind(self) -> OrtRun:
        return EndlessStep(self)


class EndlessStep(OrtRun):
    """Gives the refiner the one input that it has."""

    def refine(self, arrays: Any, *, rules: bool) -> Any:
        return super().refine({"matrix": np.zeros((64, 64), np.float32)}, rules=False)


@pytest.mark.parametrize("kind", [ThreadWorker, LoopWorker])
async def test_a_step_that_is_stopped_at_the_deadline_leaves_the_answer_without_it(pair, kind):
    worker, body, budget_s = kind(), body_of(pair, num_lists=2), 0.4
    plain = await ask(reranker_of(model_of(told(pair, 0)), worker), body)
    began = time.monotonic()
    stuck = reranker_of(model_of(pair, graphs=StuckRefiner(pair)), worker)
    answer = await ask(stuck, body, budget_s=budget_s)
    lasted = time.monotonic() - began
    whole = await ask(reranker_of(model_of(pair), worker), body, 3.0)
    worker.close()

    assert answer["degraded"] == ["fewer_lists"]
    assert answer["items"] == plain["items"]
    assert answer["reward"] == plain["reward"]
    assert budget_s / 2 < answer["timings_ms"]["evaluate"] / 1e3 <= lasted < budget_s + 0.5
    assert whole["degraded"] == []


class Broken(OrtRun):
    """Its refiner fails, and so does the evaluator where lists are many."""

    def refine(self, arrays: Any, *, rules: bool) -> Any:
        raise InferenceFailed(graph=REFINER_GRAPH, reason="broken")

    def evaluate(self, arrays: Any) -> Any:
        if arrays["lists"].shape[1] > 8:
            raise DeadlineExceeded(stage="evaluator", remaining_ms=0.0)
        return super().evaluate(arrays)


class BrokenGraphs(OrtGraphs):
    """Bind such runs."""

    def bind(self) -> OrtRun:
        return Broken(self)


@pytest.mark.parametrize(("rounds", "missing"), [(8, "fewer_lists"), (0, "explanation")])
async def test_a_broken_step_or_an_explanation_that_overruns_leaves_the_list(
    pair, worker, rounds, missing
):
    body = body_of(pair, num_lists=2, explain=rounds == 0)
    plain = await ask(reranker_of(model_of(told(pair, 0)), worker), body)
    graphs = BrokenGraphs(pair.manifest, pair.graphs.sessions)
    answer = await ask(reranker_of(model_of(told(pair, rounds), graphs=graphs), worker), body)

    assert answer["degraded"] == [missing]
    assert answer["items"] == plain["items"]
    assert answer["reward"] == plain["reward"]


async def test_a_candidate_in_shadow_whose_refinement_is_stopped_is_measured_without_it(
    pair, worker
):
    candidate, limits = ModelHolder(), Limits(request_budget_ms=400.0)
    candidate.swap(model_of(pair, graphs=StuckRefiner(pair), role="canary"))
    trial = Trial(candidate, limits, share=0.0, shadow=True, clock=time.monotonic)
    plain = reranker_of(model_of(told(pair, 0)), worker)
    outcomes = ("done", "failed")
    before = [count("rerank_shadow_total", outcome=name) for name in outcomes]
    rewards = count("rerank_reward_count", artifact="canary")

    await ask(Reranker(plain.models, worker, limits, trial), body_of(pair))
    await trial.finish()

    after = [count("rerank_shadow_total", outcome=name) for name in outcomes]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 0]
    assert count("rerank_reward_count", artifact="canary") == rewards + 1
