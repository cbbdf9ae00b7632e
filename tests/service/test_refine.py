"""Refinement in the service: the chosen list climbs while there is time, and still has to win."""

import dataclasses

import numpy as np
import pytest
from prometheus_client import REGISTRY

from model.contract.artifact.manifest import GOLDEN_BATCH_FILE
from model.contract.errors import ManifestError
from model.contract.wire.response import RerankResponse
from model.nets.local_search.best_neighbor_step import MIN_GAIN
from service.inference.verify import verify
from service.rerank.warmup import measure
from tests.service.asking import ask, body_of, model_of, reranker_of, served_ids


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
        RerankResponse.model_validate(answer)
        lists, old = compared(answer), compared(before)
        assert [x[:2] for x in lists if x[0] != "refined"] == [x[:2] for x in old]
        assert answer["lists_evaluated"] == len(lists)
        assert [x[0] for x in lists][-2:] == ["refined", "input"]
        score = {x["source"]: x["score"] for x in answer["explanation"]["lists"] if x["served"]}
        assert next(iter(score.values())) >= max(x["score"] for x in before["explanation"]["lists"])
        if lists[-2][2]:
            won += 1
            gains = [n["gain"] for s in answer["explanation"]["slots"] for n in s["neighbors"]]
            assert max(gains) <= 2 * MIN_GAIN
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
        assert max(gains) <= 2 * MIN_GAIN  # by these weights
        served[name] = served_ids(answer)

    assert served["clicks"] != served["buys"]


async def test_what_is_generated_begins_with_what_the_requests_own_weights_value(pair, worker):
    reranker = reranker_of(model_of(told(pair, 0)), worker)
    differ, ids = 0, list(pair.items.ids)
    for at in range(0, 60, 12):  # all items, in another order each time
        candidates = {"item_id": ids[at:] + ids[:at]}
        first = []
        for weights in ({"click": 1.0}, {"click": 0.0, "conversion": 1.0}):
            body = body_of(pair, candidates=candidates, objective=weights, num_lists=1)
            answer = await ask(reranker, body | {"explain": True})
            first.append(set(answer["explanation"]["lists"][0]["item_ids"]))
        differ += first[0] != first[1]

    assert differ >= 3  # of five; edits, which do not know the weights, may lead to the same


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


class Refined:
    """Graphs whose refiner says what it is told to."""

    def __init__(self, bound, says):
        self._bound, self._says = bound, says

    def __getattr__(self, name):
        return getattr(self._bound, name)

    def bind(self):
        return Refined(self._bound.bind(), self._says)

    def refine(self, arrays, *, rules):
        return self._says(arrays["at"].copy())


def repeated(at):
    """The same item in every slot."""
    return np.zeros_like(at)


def excluded(at):
    """Candidate 3, which stands in no lawful list of the test, in slot 0."""
    at[:, 0] = 3
    return at


def unpinned(at):
    """Slots 1 and 2 swapped."""
    return at[:, [0, 2, 1, *range(3, at.shape[1])]]


@pytest.mark.parametrize("says", [repeated, excluded, unpinned])
async def test_a_refined_list_that_breaks_a_rule_is_dropped_and_counted(pair, worker, says):
    def dropped():
        return REGISTRY.get_sample_value("rerank_infeasible_lists_total", {"artifact": "current"})

    ids = list(pair.items.ids[:12])
    rules = {"pinned": [{"slot": 1, "item_id": ids[7]}], "exclude": [ids[3]]}
    body = body_of(pair, explain=True, constraints=rules)
    plain = await ask(reranker_of(model_of(told(pair, 0)), worker), body)
    before = dropped() or 0.0
    graphs = Refined(pair.graphs, says)
    answer = await ask(reranker_of(model_of(told(pair, 1), graphs=graphs), worker), body)

    assert dropped() == before + 1
    assert answer["items"] == plain["items"]
    assert compared(answer) == compared(plain)
    assert answer["degraded"] == []


async def test_the_refined_list_is_the_same_whatever_currency_the_weights_are_told_in(pair, worker):
    reranker = reranker_of(model_of(told(pair, 30)), worker)
    refined = 0
    for seed in range(8):
        answers = []
        for scale in (1e-4, 1.0, 1e6):
            weights = {"click": scale, "conversion": 0.5 * scale}
            body = body_of(pair, seed=seed, objective=weights, num_lists=1, explain=True)
            answers.append(await ask(reranker, body))
        sources = [[x[::2] for x in compared(answer)] for answer in answers]
        assert served_ids(answers[0]) == served_ids(answers[1]) == served_ids(answers[2])
        assert sources[0] == sources[1] == sources[2]
        refined += ("refined", True) in sources[0]
    assert refined > 4  # else nothing was to differ


def test_warm_up_measures_a_step_and_none_where_there_is_no_refiner(pair, artifact):
    with_steps = measure(pair.graphs.bind(), pair.manifest, 20)
    without = measure(artifact.graphs.bind(), artifact.manifest, 20)

    assert set(with_steps) == set(without) == {False, True}
    for cost in with_steps.values():
        assert cost.step is not None
        assert cost.judge is not None
        assert 0 < cost.step.seconds(20, 1) < 1
        assert 0 < cost.judge.seconds(20, 1) < 1
        assert cost.holds_a_step(candidates=20, left_s=1.0)
        assert not cost.holds_a_step(candidates=20, left_s=1e-7)
    assert all(cost.step is None and cost.judge is None for cost in without.values())


def test_an_artifact_is_refused_whose_refiner_climbs_elsewhere_than_pytorchs(pair, tmp_path):
    with np.load(pair.folder / GOLDEN_BATCH_FILE) as file:
        held = {name: file[name] for name in file.files}
    assert verify(pair) == len(held["chosen"])
    assert held["lists"].shape[1] == held["in_noise_item"].shape[1] + 1
    # PyTorch would have stayed where the generator ended: probabilities are right, the list is not
    changed = {name: held[name].copy() for name in ("lists", "p_click", "p_conversion")}
    changed["lists"][:, -1] = held["lists"][:, 0]
    for name in ("p_click", "p_conversion"):
        changed[name][:, :, -2] = held[name][:, :, 0]
    np.savez(tmp_path / GOLDEN_BATCH_FILE, **(held | changed))

    with pytest.raises(ManifestError, match="lists differ in"):
        verify(dataclasses.replace(pair, folder=tmp_path))
