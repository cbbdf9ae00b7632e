"""Refinement under a deadline: which steps start, what is observed, and which result is kept."""

import json
import math
from typing import Any

import numpy as np
import pytest

from model.contract.wire.request import parse_request
from service.errors import DeadlineExceeded
from service.inference.artifact_reader import Artifact
from service.inference.graphs import OrtRun
from service.rerank.deadline import Deadline
from service.rerank.explanation import explain_result, feasible_neighbors
from service.rerank.graph_calls import run_sequentially
from service.rerank.latency_model import SearchLatency
from service.rerank.list_search import search_lists
from service.rerank.refinement import hill_climb_by_deadline
from service.rerank.search_request import SearchRequest, SearchResult
from service.rerank.warmup import default_search_request
from tests.service.asking import (
    ask,
    body_of,
    latency_of,
    model_of,
    reranker_of,
    search_request_of,
)
from tests.service.rerank.test_refinement import compared_lists, with_refine_rounds

GENERATE_S, EVALUATE_S, STEP_S, SCORE_S = 0.002, 0.002, 0.003, 0.0002
HEADROOM = 1.5  # of a latency plan


class ClockedGraphs:
    """Real graphs on a manual clock: each run takes a fixed time and ends at the deadline."""

    def __init__(self, bound: OrtRun, **seconds: float) -> None:
        self._bound, self.now, self.ends = bound, 0.0, 0.0
        self.seconds = {"generate": GENERATE_S, "evaluate": EVALUATE_S} | seconds
        self.started: list[str] = []

    def within(self, seconds: float) -> Deadline:
        """The deadline of the next request, one second after the last one began."""
        self.now += 1.0
        self.ends, self.started = self.now + seconds, []
        return Deadline(self.now, self.ends, lambda: self.now)

    def _spend(self, what: str) -> None:
        self.started.append(what)
        self.now += self.seconds[what]
        if self.now > self.ends:
            self.now = self.ends
            raise DeadlineExceeded(stage=what, remaining_ms=0.0)

    def generate(self, arrays: Any, *, rules: bool) -> Any:
        self._spend("generate")
        return self._bound.generate(arrays, rules=rules)

    def evaluate(self, arrays: Any) -> Any:
        self._spend("score" if "refine" in self.started else "evaluate")
        return self._bound.evaluate(arrays)

    def refine(self, arrays: Any, *, rules: bool) -> Any:
        self._spend("refine")
        return self._bound.refine(arrays, rules=rules)


class ReversingGraphs(ClockedGraphs):
    """Graphs whose steps reverse the list, so that hill climbing never converges."""

    def refine(self, arrays: Any, *, rules: bool) -> Any:
        self._spend("refine")
        return arrays["at"][:, ::-1]


async def search_request(pair: Artifact, seed: int = 5) -> SearchRequest:
    model = model_of(pair)
    request = parse_request(json.dumps(body_of(pair, num_lists=2)).encode())
    record = await model.store.fetch_user("u1", timeout_s=1.0)
    return await search_request_of(model, request, record, seed)


def search_latency(step_s: float, score_s: float | None = None) -> SearchLatency:
    return latency_of(GENERATE_S + EVALUATE_S, step_s, score_s)[False]


def run_search(graphs, request, manifest, latency, deadline) -> SearchResult:
    return run_sequentially(graphs, search_lists(request, manifest, latency, deadline=deadline))


async def test_short_budget_rarely_starts_a_step(pair):
    """The budget is 6.2 ms: lists take 4 ms, and a step needs 3 of the 2.2 ms that are left."""
    graphs = ClockedGraphs(pair.graphs.bind(), refine=STEP_S, score=SCORE_S)
    request, unrefined = await search_request(pair), with_refine_rounds(pair, 0).manifest
    latency, requests, left_s, tried = search_latency(STEP_S), 400, 0.0022, 0
    expected = run_search(graphs, request, unrefined, latency, graphs.within(1.0))

    for _ in range(requests):
        deadline = graphs.within(GENERATE_S + EVALUATE_S + left_s)
        result = run_search(graphs, request, pair.manifest, latency, deadline)
        assert result.incomplete
        assert np.array_equal(result.chosen_list, expected.chosen_list)
        assert result.reward == expected.reward
        tried += "refine" in graphs.started

    # A refusal decays the factor by half a percent: 143 until the step seems to fit, and 81 after
    # each overrun, which raises it by the headroom.
    decay = math.log(1 - 0.005)
    first = math.ceil(math.log(left_s / (STEP_S * HEADROOM)) / decay)
    again = math.ceil(math.log(1 / HEADROOM) / decay)
    assert tried == 1 + (requests - first - 1) // again == 4


async def test_refused_later_steps_do_not_change_the_factor(pair):
    """Each request has time for two steps; the refused third one is no observation."""
    graphs = ReversingGraphs(pair.graphs.bind(), refine=0.0011, score=SCORE_S)
    request = await search_request(pair)
    latency = search_latency(0.001, SCORE_S)  # the real step is 10 % slower

    for _ in range(200):
        result = run_search(graphs, request, pair.manifest, latency, graphs.within(0.0075))
        # 3.5, 2.4 and 1.3 ms are left; a step and its scoring need (1.0 to 1.1 + .2) * 1.5
        assert graphs.started == ["generate", "evaluate", "refine", "refine"]
        assert result.incomplete

    assert latency.refine_step is not None
    assert latency.refine_step.slowdown_factor == pytest.approx(1.1, rel=0.01)


@pytest.mark.parametrize("overrunning", ["refine", "score"])
async def test_overrun_in_refinement_keeps_the_unrefined_result(pair, overrunning):
    seconds = {"refine": STEP_S, "score": SCORE_S} | {overrunning: 1.0}
    graphs = ClockedGraphs(pair.graphs.bind(), **seconds)
    request, latency = await search_request(pair), search_latency(STEP_S, SCORE_S)
    unrefined = with_refine_rounds(pair, 0).manifest
    expected = run_search(graphs, request, unrefined, latency, graphs.within(9.0))
    result = run_search(graphs, request, pair.manifest, latency, graphs.within(0.1))

    assert graphs.started[-1] == overrunning
    assert result.incomplete
    assert not expected.incomplete
    assert np.array_equal(result.lists, expected.lists)
    assert (result.chosen_index, result.reward) == (expected.chosen_index, expected.reward)
    assert result.refined_index is None
    models = {"refine": latency.refine_step, "score": latency.refined_scoring}
    factors = {name: model.slowdown_factor for name, model in models.items() if model is not None}
    # an overrun raises the factor by the headroom of its plan
    assert factors.pop(overrunning) == pytest.approx(HEADROOM)
    assert list(factors.values()) == [pytest.approx(1.0)]


async def test_answer_without_time_for_refinement_is_unrefined(pair, executor):
    slow = latency_of(1e-6, step_s=10.0)
    body = body_of(pair, num_lists=2, explain=True)

    answer = await ask(reranker_of(model_of(pair, latency=slow), executor), body)
    expected = await ask(reranker_of(model_of(with_refine_rounds(pair, 0)), executor), body)

    assert answer["degraded"] == ["fewer_lists"]
    assert expected["degraded"] == []
    assert answer["items"] == expected["items"]
    assert compared_lists(answer) == compared_lists(expected)


def test_hill_climb_starts_only_steps_that_fit(pair):
    """A step needs 5 ms and half of it as headroom: 20 ms allow three."""
    request = default_search_request(pair.manifest, model_of(pair).encoder, 12, rules=False)

    class Graphs:
        """Graphs whose steps take 5 ms and change the list."""

        now, steps = 0.0, 0

        def refine(self, arrays, *, rules):
            self.steps += 1
            self.now += 0.005
            return arrays["at"][:, ::-1]

    graphs: Any = Graphs()
    deadline = Deadline(0.0, 0.020, lambda: graphs.now)
    latency = latency_of(1e-6, step_s=0.005)[False]
    # 20, 15 and 10 ms are left before the first three, which need 7.5; then 5
    climbing = hill_climb_by_deadline(
        request, pair.manifest, request.input_list, latency=latency, deadline=deadline
    )
    _, complete = run_sequentially(graphs, climbing)

    assert (graphs.steps, complete) == (3, False)


def test_terminated_run_rejects_a_refine_step(pair):
    run = pair.graphs.bind()
    run.terminate()

    with pytest.raises(DeadlineExceeded):
        run.refine({}, rules=False)


async def test_explanation_is_planned_by_evaluation_latency(pair):
    graphs = ClockedGraphs(pair.graphs.bind(), refine=STEP_S, score=SCORE_S)
    request = await search_request(pair)
    latency = search_latency(STEP_S)
    result = run_search(graphs, request, pair.manifest, latency, graphs.within(9.0))
    ids = [str(index) for index in range(request.num_candidates)]
    lists = len(feasible_neighbors(request, result.chosen_list).lists)

    def explained(share: float) -> bool:
        # two generated lists and the input list took 2 ms; the refined list ran by itself
        needed_s = EVALUATE_S / 3 * lists * HEADROOM
        deadline = graphs.within(needed_s * share)
        calls = explain_result(request, result, ids, deadline=deadline)
        return run_sequentially(graphs, calls) is not None

    assert result.refined_index is not None
    assert len(result.lists) == 4
    assert explained(1.01)
    assert not explained(0.99)
