"""Refinement in the service: the chosen list climbs while there is time, and still has to win."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from model.contract.answer import RerankAnswer
from model.contract.errors import ManifestError
from model.contract.manifest import GOLDEN
from model.nets.ascent import LEAST
from service.errors import BudgetSpent
from service.inference.artifact import read_artifact
from service.inference.verify import verify
from service.rerank.cost import Cost, CostLine
from service.rerank.deadline import Deadline
from service.rerank.refine import climb
from service.rerank.warmup import blank_task, measure
from tests.artifacts import tiny_artifact
from tests.service.asking import CHEAP, ask, body_of, model_of, reranker_of, served_ids

STEPS = 8


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The artifact of our nets, which has a refiner."""
    return read_artifact(tiny_artifact(tmp_path_factory.mktemp("pair"), "pair"))


def told(pair, rounds):
    """The artifact with another number of steps."""
    return dataclasses.replace(
        pair, manifest=pair.manifest.model_copy(update={"refine_rounds": rounds})
    )


def compared(answer):
    """What was compared: source, reward, served."""
    return [(x["source"], x["reward"], x["served"]) for x in answer["explanation"]["lists"]]


async def test_the_served_list_has_no_neighbor_that_gains_and_refined_stands_before_input(
    pair, worker
):
    pair = told(pair, 30)
    refined = reranker_of(model_of(pair), worker)
    plain = reranker_of(model_of(told(pair, 0)), worker)
    won = 0
    for seed in range(12):
        body = body_of(pair, seed=seed, explain=True, num_lists=2)
        answer, before = await ask(refined, body), await ask(plain, body)
        RerankAnswer.model_validate(answer)
        lists, old = compared(answer), compared(before)
        assert [x[:2] for x in lists if x[0] != "refined"] == [x[:2] for x in old]
        assert answer["lists_evaluated"] == len(lists)
        assert [x[0] for x in lists][-2:] == ["refined", "input"]
        score = {x["source"]: x["score"] for x in answer["explanation"]["lists"] if x["served"]}
        assert next(iter(score.values())) >= max(x["score"] for x in before["explanation"]["lists"])
        if lists[-2][2]:
            won += 1
            gains = [n["gain"] for s in answer["explanation"]["slots"] for n in s["neighbors"]]
            assert max(gains) <= 2 * LEAST
            assert answer["reward"] > before["reward"]
    assert won > 6  # else none of the above says much


async def test_it_climbs_by_the_requests_own_weights_and_to_the_same_list_every_time(pair, worker):
    reranker = reranker_of(model_of(told(pair, 30)), worker)
    clicks = {"click": 1.0, "conversion": 0.0}
    served = {}
    for name, weights in (("clicks", clicks), ("buys", {"click": 0.0, "conversion": 1.0})):
        body = body_of(pair, objective=weights, num_lists=1, explain=True)
        answer, again = await ask(reranker, body), await ask(reranker, body)
        assert answer["items"] == again["items"]
        assert compared(answer)[-2][::2] == ("refined", True)
        gains = [n["gain"] for s in answer["explanation"]["slots"] for n in s["neighbors"]]
        assert max(gains) <= 2 * LEAST  # by these weights
        served[name] = served_ids(answer)

    assert served["clicks"] != served["buys"]


async def test_rules_and_pins_hold_for_what_is_refined(pair, worker):
    reranker = reranker_of(model_of(pair), worker)
    ids = list(pair.items.ids[:12])
    rules = {
        "pinned": [{"slot": 1, "item_id": ids[7]}],
        "exclude": [ids[0]],
        "caps": [{"field": "brand", "max": 1}],
    }
    moved = 0
    for seed in range(12):
        body = body_of(pair, seed=seed, explain=True, num_lists=1, list_size=3)
        free = await ask(reranker, body)
        answer = await ask(reranker, body | {"constraints": rules})
        assert answer["degraded"] == []
        served = served_ids(answer)
        assert served[1] == ids[7]
        assert ids[0] not in served
        assert served != served_ids(free)
        moved += any(x["source"] == "refined" for x in answer["explanation"]["lists"])
    assert moved > 6


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
    _, whole = climb(graphs, task, pair.manifest, task.start, cost, deadline)

    assert (graphs.steps, whole) == (3, False)


async def test_a_refined_list_that_breaks_a_rule_is_dropped_and_counted(pair, worker):
    class Twice:
        """Graphs whose refiner says the same item everywhere."""

        def __init__(self, bound):
            self._bound = bound

        def __getattr__(self, name):
            return getattr(self._bound, name)

        def bind(self):
            return Twice(self._bound.bind())

        def refine(self, arrays, *, rules):
            return np.zeros_like(arrays["at"])

    plain = await ask(reranker_of(model_of(told(pair, 0)), worker), body_of(pair, explain=True))
    answer = await ask(
        reranker_of(model_of(pair, graphs=Twice(pair.graphs)), worker), body_of(pair, explain=True)
    )

    assert answer["items"] == plain["items"]
    assert compared(answer) == compared(plain)


def test_warm_up_measures_a_step_and_none_where_there_is_no_refiner(pair, artifact):
    with_steps = measure(pair.graphs.bind(), pair.manifest, 20)
    without = measure(artifact.graphs.bind(), artifact.manifest, 20)

    assert set(with_steps) == set(without) == {False, True}
    for cost in with_steps.values():
        assert cost.step is not None
        assert 0 < cost.step.seconds(20, 1) < 1
        assert cost.holds_a_step(candidates=20, left_s=1.0)
        assert not cost.holds_a_step(candidates=20, left_s=1e-7)
    assert all(cost.step is None for cost in without.values())


def test_a_stopped_run_takes_no_step(pair):
    run = pair.graphs.bind()
    run.stop()

    with pytest.raises(BudgetSpent):
        run.refine({}, rules=False)


def test_an_artifact_is_refused_whose_refiner_climbs_elsewhere_than_pytorchs(pair, tmp_path):
    with np.load(pair.folder / GOLDEN) as file:
        held = {name: file[name] for name in file.files}
    assert verify(pair) == len(held["chosen"])
    assert held["lists"].shape[1] == held["in_noise_item"].shape[1] + 1
    # PyTorch would have stayed where the generator ended: probabilities are right, the list is not
    changed = {name: held[name].copy() for name in ("lists", "p_click", "p_conversion")}
    changed["lists"][:, -1] = held["lists"][:, 0]
    for name in ("p_click", "p_conversion"):
        changed[name][:, :, -2] = held[name][:, :, 0]
    np.savez(tmp_path / GOLDEN, **(held | changed))

    with pytest.raises(ManifestError, match="lists differ in"):
        verify(dataclasses.replace(pair, folder=tmp_path))
