"""Refinement of the selected list by hill climbing, and the selection with the refined list."""

import dataclasses

import numpy as np
import pytest
from prometheus_client import REGISTRY

from model.contract.artifact.manifest import GOLDEN_BATCH_FILE
from model.contract.errors import ManifestError
from model.contract.wire.response import RerankResponse
from model.nets.local_search.best_neighbor_step import MIN_GAIN
from service.inference.verification import verify_artifact
from service.rerank.warmup import measure_search_latency
from tests.service.asking import ask, body_of, model_of, reranker_of, served_ids


def with_refine_rounds(pair, rounds):
    """The artifact with another number of refinement steps."""
    return dataclasses.replace(
        pair, manifest=pair.manifest.model_copy(update={"refine_rounds": rounds})
    )


def compared_lists(answer):
    """Source, reward and served of every list in the explanation."""
    return [(x["source"], x["reward"], x["served"]) for x in answer["explanation"]["lists"]]


async def test_refined_list_is_a_local_optimum(pair, executor):
    pair = with_refine_rounds(pair, 30)
    refined = reranker_of(model_of(pair), executor)
    unrefined = reranker_of(model_of(with_refine_rounds(pair, 0)), executor)
    won = 0
    for seed in range(12):
        body = body_of(pair, seed=seed, explain=True, num_lists=2)
        answer, before = await ask(refined, body), await ask(unrefined, body)
        RerankResponse.model_validate(answer)
        lists, old = compared_lists(answer), compared_lists(before)
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
    assert won > 6  # else none of the above refiner much


async def test_refinement_follows_the_request_objective(pair, executor):
    reranker = reranker_of(model_of(with_refine_rounds(pair, 30)), executor)
    clicks = {"click": 1.0, "conversion": 0.0}
    served = {}
    for name, weights in (("clicks", clicks), ("buys", {"click": 0.0, "conversion": 1.0})):
        body = body_of(pair, objective=weights, num_lists=1, explain=True)
        answer, again = await ask(reranker, body), await ask(reranker, body)
        assert answer["items"] == again["items"]
        assert compared_lists(answer)[-2][::2] == ("refined", True)
        gains = [n["gain"] for s in answer["explanation"]["slots"] for n in s["neighbors"]]
        assert max(gains) <= 2 * MIN_GAIN  # by these weights
        served[name] = served_ids(answer)

    assert served["clicks"] != served["buys"]


async def test_generation_starts_from_the_request_objective(pair, executor):
    reranker = reranker_of(model_of(with_refine_rounds(pair, 0)), executor)
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


async def test_refined_lists_obey_rules_and_pins(pair, executor):
    reranker = reranker_of(model_of(pair), executor)
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


class GraphsWithRefiner:
    """Graphs whose refiner is the function `refiner`."""

    def __init__(self, bound, refiner):
        self._bound, self._refiner = bound, refiner

    def __getattr__(self, name):
        return getattr(self._bound, name)

    def bind(self):
        return GraphsWithRefiner(self._bound.bind(), self._refiner)

    def refine(self, arrays, *, rules):
        return self._refiner(arrays["at"].copy())


def repeated(at):
    """The same item in every slot."""
    return np.zeros_like(at)


def excluded(at):
    """Candidate 3, which no feasible list of the test has, in slot 0."""
    at[:, 0] = 3
    return at


def unpinned(at):
    """Slots 1 and 2 swapped."""
    return at[:, [0, 2, 1, *range(3, at.shape[1])]]


@pytest.mark.parametrize("refiner", [repeated, excluded, unpinned])
async def test_infeasible_refined_list_is_dropped_and_counted(pair, executor, refiner):
    def dropped():
        return REGISTRY.get_sample_value("rerank_infeasible_lists_total", {"artifact": "current"})

    ids = list(pair.items.ids[:12])
    rules = {"pinned": [{"slot": 1, "item_id": ids[7]}], "exclude": [ids[3]]}
    body = body_of(pair, explain=True, constraints=rules)
    unrefined = await ask(reranker_of(model_of(with_refine_rounds(pair, 0)), executor), body)
    before = dropped() or 0.0
    graphs = GraphsWithRefiner(pair.graphs, refiner)
    answer = await ask(
        reranker_of(model_of(with_refine_rounds(pair, 1), graphs=graphs), executor), body
    )

    assert dropped() == before + 1
    assert answer["items"] == unrefined["items"]
    assert compared_lists(answer) == compared_lists(unrefined)
    assert answer["degraded"] == []


async def test_refined_list_does_not_depend_on_objective_scale(pair, executor):
    reranker = reranker_of(model_of(with_refine_rounds(pair, 30)), executor)
    refined = 0
    for seed in range(8):
        answers = []
        for scale in (1e-4, 1.0, 1e6):
            weights = {"click": scale, "conversion": 0.5 * scale}
            body = body_of(pair, seed=seed, objective=weights, num_lists=1, explain=True)
            answers.append(await ask(reranker, body))
        sources = [[x[::2] for x in compared_lists(answer)] for answer in answers]
        assert served_ids(answers[0]) == served_ids(answers[1]) == served_ids(answers[2])
        assert sources[0] == sources[1] == sources[2]
        refined += ("refined", True) in sources[0]
    assert refined > 4  # else nothing was to differ


def test_warmup_measures_steps_only_with_a_refiner(pair, artifact):
    with_steps = measure_search_latency(pair.graphs.bind(), pair.manifest, 20)
    without = measure_search_latency(artifact.graphs.bind(), artifact.manifest, 20)

    assert set(with_steps) == set(without) == {False, True}
    for latency in with_steps.values():
        assert latency.refine_step is not None
        assert latency.refined_scoring is not None
        assert 0 < latency.refine_step.predict(20, 1) < 1
        assert 0 < latency.refined_scoring.predict(20, 1) < 1
        assert latency.fits_refine_step(candidates=20, left_s=1.0)
        assert not latency.fits_refine_step(candidates=20, left_s=1e-7)
    assert all(
        latency.refine_step is None and latency.refined_scoring is None
        for latency in without.values()
    )


def test_verification_rejects_a_refiner_unlike_pytorch(pair, tmp_path):
    with np.load(pair.folder / GOLDEN_BATCH_FILE) as file:
        golden = {name: file[name] for name in file.files}
    assert verify_artifact(pair) == len(golden["chosen"])
    assert golden["lists"].shape[1] == golden["in_noise_item"].shape[1] + 1
    # PyTorch would have stayed where the generator ended: probabilities are right, the list is not
    changed = {name: golden[name].copy() for name in ("lists", "p_click", "p_conversion")}
    changed["lists"][:, -1] = golden["lists"][:, 0]
    for name in ("p_click", "p_conversion"):
        changed[name][:, :, -2] = golden[name][:, :, 0]
    np.savez(tmp_path / GOLDEN_BATCH_FILE, **(golden | changed))

    with pytest.raises(ManifestError, match="lists differ in"):
        verify_artifact(dataclasses.replace(pair, folder=tmp_path))


@pytest.mark.parametrize("rounds", [0, 30])
async def test_gain_below_least_gain_serves_input_list(pair, executor, rounds):
    pair = with_refine_rounds(pair, rounds)
    manifest = pair.manifest.model_copy(update={"min_relative_gain": 100.0})
    cautious = reranker_of(model_of(dataclasses.replace(pair, manifest=manifest)), executor)
    body = body_of(pair, explain=True, num_lists=2)

    answer, bold = (
        await ask(cautious, body),
        await ask(reranker_of(model_of(pair), executor), body),
    )

    RerankResponse.model_validate(answer)
    assert served_ids(answer) == body["candidates"]["item_id"][: len(answer["items"])]
    assert answer["reward"] == answer["input_reward"]
    assert bold["reward"] > bold["input_reward"]
    without_served = [x[:2] for x in compared_lists(answer)]
    assert without_served == [x[:2] for x in compared_lists(bold)]  # the same search
    assert compared_lists(answer)[-1][::2] == ("input", True)
