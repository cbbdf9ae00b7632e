"""Refinement and time: what is begun, what that teaches, and what is kept when it overruns."""

import json
import math
from typing import Any

import numpy as np
import pytest

from model.contract.wire.request import parse_request
from service.errors import DeadlineExceeded
from service.inference.artifact import Artifact
from service.inference.graphs import OrtRun
from service.rerank.cost import Cost, CostLine
from service.rerank.deadline import Deadline
from service.rerank.explain import explain, neighbors
from service.rerank.refine import climb
from service.rerank.search import search
from service.rerank.steps import answered
from service.rerank.task import Task
from service.rerank.warmup import blank_task
from tests.service.asking import CHEAP, ask, body_of, model_of, reranker_of, task_of
from tests.service.test_refine import compared, told

GENERATE_S, EVALUATE_S, STEP_S, JUDGE_S = 0.002, 0.002, 0.003, 0.0002
ROOM = 1.5  # of a plan


class Clocked:
    """Real graphs whose runs take what they are told to, on a clock by hand that ends them."""

    def __init__(self, bound: OrtRun, **seconds: float) -> None:
        self._bound, self.now, self.ends = bound, 0.0, 0.0
        self.seconds = {"generate": GENERATE_S, "evaluate": EVALUATE_S} | seconds
        self.begun: list[str] = []

    def within(self, seconds: float) -> Deadline:
        """The deadline of the next request, a while after the one before."""
        self.now += 1.0
        self.ends, self.begun = self.now + seconds, []
        return Deadline(self.now, self.ends, lambda: self.now)

    def _spend(self, what: str) -> None:
        self.begun.append(what)
        self.now += self.seconds[what]
        if self.now > self.ends:
            self.now = self.ends
            raise DeadlineExceeded(stage=what, remaining_ms=0.0)

    def generate(self, arrays: Any, *, rules: bool) -> Any:
        self._spend("generate")
        return self._bound.generate(arrays, rules=rules)

    def evaluate(self, arrays: Any) -> Any:
        self._spend("judge" if "refine" in self.begun else "evaluate")
        return self._bound.evaluate(arrays)

    def refine(self, arrays: Any, *, rules: bool) -> Any:
        self._spend("refine")
        return self._bound.refine(arrays, rules=rules)


class Turning(Clocked):
    """Its steps never end: each one turns the list round."""

    def refine(self, arrays: Any, *, rules: bool) -> Any:
        self._spend("refine")
        return arrays["at"][:, ::-1]


async def pair_task(pair: Artifact, seed: int = 5) -> Task:
    model = model_of(pair)
    request = parse_request(json.dumps(body_of(pair, num_lists=2)).encode())
    record = await model.store.fetch_user("u1", timeout_s=1.0)
    return await task_of(model, request, record, seed)


def cost_of(step_s: float, judge_s: float | None = None) -> Cost:
    judge = None if judge_s is None else CostLine((judge_s, 0.0, 0.0, 0.0))
    lists = CostLine((GENERATE_S + EVALUATE_S, 0.0, 0.0, 0.0))
    return Cost(lists, CostLine((step_s, 0.0, 0.0, 0.0)), judge)


async def test_a_budget_that_never_holds_a_step_loses_no_answer_and_is_seldom_tried(pair):
    """6.2 ms: lists take 4, a step 3 of the 2.2 that are left."""
    graphs, task = Clocked(pair.graphs.bind(), refine=STEP_S, judge=JUDGE_S), await pair_task(pair)
    cost, requests, left_s, tried = cost_of(STEP_S), 400, 0.0022, 0
    plain = answered(graphs, search(task, told(pair, 0).manifest, cost, graphs.within(1.0)))

    for _ in range(requests):
        deadline = graphs.within(GENERATE_S + EVALUATE_S + left_s)
        found = answered(graphs, search(task, pair.manifest, cost, deadline))
        assert found.cut_short
        assert np.array_equal(found.list, plain.list)
        assert found.reward == plain.reward
        tried += "refine" in graphs.begun

    # refusals relax by half a per cent: 143 until the step seems to fit, and 81 after each try,
    # which is known to take the room as well
    drift = math.log(1 - 0.005)
    first = math.ceil(math.log(left_s / (STEP_S * ROOM)) / drift)
    again = math.ceil(math.log(1 / ROOM) / drift)
    assert tried == 1 + (requests - first - 1) // again == 4


async def test_steps_that_are_measured_keep_their_pace_however_many_do_not_fit(pair):
    """Each request holds two steps, then a third one is refused: that teaches nothing."""
    graphs, task = Turning(pair.graphs.bind(), refine=0.0011, judge=JUDGE_S), await pair_task(pair)
    cost = cost_of(0.001, JUDGE_S)  # in truth 10 % slower

    for _ in range(200):
        found = answered(graphs, search(task, pair.manifest, cost, graphs.within(0.0075)))
        # 3.5, 2.4 and 1.3 ms are left; a step and its judging need (1.0 to 1.1 + .2) * 1.5
        assert graphs.begun == ["generate", "evaluate", "refine", "refine"]
        assert found.cut_short

    assert cost.step is not None
    assert cost.step.pace == pytest.approx(1.1, rel=0.01)


@pytest.mark.parametrize("what", ["refine", "judge"])
async def test_a_step_or_a_judging_that_overruns_keeps_what_was_found_before(pair, what):
    slow = {"refine": STEP_S, "judge": JUDGE_S} | {what: 1.0}
    graphs, task, cost = (
        Clocked(pair.graphs.bind(), **slow),
        await pair_task(pair),
        cost_of(STEP_S, JUDGE_S),
    )
    plain = answered(graphs, search(task, told(pair, 0).manifest, cost, graphs.within(9.0)))
    found = answered(graphs, search(task, pair.manifest, cost, graphs.within(0.1)))

    assert graphs.begun[-1] == what
    assert found.cut_short
    assert not plain.cut_short
    assert np.array_equal(found.lists, plain.lists)
    assert (found.chosen, found.reward, found.refined) == (plain.chosen, plain.reward, None)
    ended, whole = (cost.step, cost.judge) if what == "refine" else (cost.judge, cost.step)
    assert ended is not None
    assert whole is not None
    assert ended.pace == pytest.approx(ROOM)  # at least what its plan had room for
    assert whole.pace == pytest.approx(1.0)


async def test_where_time_holds_no_step_the_answer_says_so_and_is_the_one_without(pair, worker):
    slow = {False: Cost(CostLine(CHEAP), CostLine((10.0, 0.0, 0.0, 0.0)))}
    body = body_of(pair, num_lists=2, explain=True)

    answer = await ask(reranker_of(model_of(pair, cost=slow), worker), body)
    plain = await ask(reranker_of(model_of(told(pair, 0)), worker), body)

    assert answer["degraded"] == ["fewer_lists"]
    assert plain["degraded"] == []
    assert answer["items"] == plain["items"]
    assert compared(answer) == compared(plain)


def test_a_step_that_may_not_fit_is_not_begun(pair):
    """5 ms a step and half as much again to spare: 20 ms hold three."""
    task = blank_task(pair.manifest, model_of(pair).encoder, 12, rules=False)

    class Graphs:
        """Each step takes 5 ms and moves."""

        now, steps = 0.0, 0

        def refine(self, arrays, *, rules):
            self.steps += 1
            self.now += 0.005
            return arrays["at"][:, ::-1]

    graphs: Any = Graphs()
    deadline = Deadline(0.0, 0.020, lambda: graphs.now)
    cost = Cost(CostLine(CHEAP), CostLine((0.005, 0.0, 0.0, 0.0)))
    # 20, 15 and 10 ms are left before the first three, which need 7.5; then 5
    _, whole = answered(graphs, climb(task, pair.manifest, task.start, cost, deadline))

    assert (graphs.steps, whole) == (3, False)


def test_a_stopped_run_takes_no_step(pair):
    run = pair.graphs.bind()
    run.stop()

    with pytest.raises(DeadlineExceeded):
        run.refine({}, rules=False)


async def test_an_explanation_is_planned_by_what_judging_took_of_the_lists_of_that_run(pair):
    graphs, task = Clocked(pair.graphs.bind(), refine=STEP_S, judge=JUDGE_S), await pair_task(pair)
    found = answered(graphs, search(task, pair.manifest, cost_of(STEP_S), graphs.within(9.0)))
    ids = [str(place) for place in range(task.candidates)]
    edits = len(neighbors(task, found.list).lists)

    def explained(share: float) -> bool:
        # two generated lists and the input list in 2 ms; the refined one was judged by itself
        needed_s = EVALUATE_S / 3 * edits * ROOM
        deadline = graphs.within(needed_s * share)
        return answered(graphs, explain(task, found, ids, deadline)) is not None

    assert found.refined is not None
    assert len(found.lists) == 4
    assert explained(1.01)
    assert not explained(0.99)
