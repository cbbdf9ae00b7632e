import json
import random
import time

import numpy as np
import pytest

from model.contract.artifact.manifest import ManifestObjective
from model.contract.errors import RequestRejected, ValueRejected
from model.contract.wire.request import parse_request
from model.contract.wire.response import RerankResponse
from service.errors import DeadlineExceeded, LimitExceeded
from service.rerank.artifact_slot import ServingModel
from service.rerank.graph_calls import run_sequentially
from service.rerank.interfaces import BoundGraphs
from service.rerank.latency_model import LatencyModel, SearchLatency
from service.rerank.list_search import generate_feasible_lists, score_lists
from service.rerank.request_encoding import encode_candidates
from service.rerank.search_request import SearchRequest
from tests.service.asking import (
    USER,
    LateStore,
    ask,
    body_of,
    model_of,
    reranker_of,
    search_request_of,
    served_ids,
    without_times,
)


@pytest.fixture
def reranker(artifact, executor):
    return reranker_of(model_of(artifact), executor)


async def test_equal_seeds_give_equal_answers(artifact, reranker):
    body = body_of(artifact, explain=True)

    first, again = [await ask(reranker, body) for _ in range(2)]
    other = await ask(reranker, body | {"seed": 6})

    assert first["degraded"] == []
    assert without_times(first) == without_times(again)
    assert first["explanation"]["lists"] != other["explanation"]["lists"]


async def test_missing_seed_is_derived_from_the_request_id(artifact, reranker):
    body = body_of(artifact, seed=None)

    first = await ask(reranker, body, request_id="one")
    other = await ask(reranker, body, request_id="two")
    repeated = await ask(reranker, body | {"seed": first["seed"]}, request_id="three")

    assert first["seed"] != other["seed"]
    assert served_ids(repeated) == served_ids(first)


async def test_list_k_does_not_depend_on_num_lists(artifact, reranker):
    few = await ask(reranker, body_of(artifact, num_lists=3, explain=True))
    many = await ask(reranker, body_of(artifact, num_lists=8, explain=True))

    def generated(answer):
        return [x["item_ids"] for x in answer["explanation"]["lists"] if x["source"] != "input"]

    assert generated(few) == generated(many)[:3]
    assert (few["lists_evaluated"], many["lists_evaluated"]) == (4, 9)


async def test_answers_are_valid_and_never_below_the_input(artifact, reranker):
    rng = random.Random(0)
    changed = 0
    for seed in range(40):
        ids = rng.sample([*artifact.items.ids, "new-1", "new-2"], rng.randint(1, 12))
        size = rng.randint(1, min(len(ids), artifact.manifest.lengths.slots))
        body = body_of(artifact, seed=seed, list_size=size, candidates={"item_id": ids})
        answer = await ask(reranker, body)
        served = served_ids(answer)
        RerankResponse.model_validate(answer)
        assert len(set(served)) == len(served) == size
        assert [ids[item["input_slot"]] for item in answer["items"]] == served
        assert [item["slot"] for item in answer["items"]] == list(range(size))
        assert answer["reward"] >= answer["input_reward"]
        changed += served != ids[:size]
    assert changed > 20  # otherwise the checks above hold trivially


def bound(model: ServingModel, request: SearchRequest) -> BoundGraphs:
    """Graphs after `generate`, which can score the request's lists."""
    graphs = model.graphs.bind()
    run_sequentially(graphs, generate_feasible_lists(request, model.manifest, 1))
    return graphs


async def reward_by_hand(model, body, answer, weight_of) -> float:
    """Mean over members of sum over slots of p_click * weight(p_conversion, item id)."""
    request = parse_request(json.dumps(body).encode())
    record = await model.store.fetch_user(USER, timeout_s=1.0)
    search_request = await search_request_of(model, request, record)
    places = [request.item_ids.index(i) for i in served_ids(answer)]
    lists = np.array([[places]], dtype=np.int32)
    p_click, p_conversion = bound(model, search_request).evaluate(
        search_request.fixed_inputs | {"lists": lists}
    )
    assert p_conversion is not None
    return sum(
        float(p_click[e, 0, 0, j]) * weight_of(float(p_conversion[e, 0, 0, j]), item_id)
        for e in range(len(p_click))
        for j, item_id in enumerate(served_ids(answer))
    ) / len(p_click)


async def test_reward_is_the_objective_over_evaluator_probabilities(artifact, executor):
    model = model_of(artifact)
    body = body_of(artifact, objective={"click": 0.5, "conversion": 2.0})

    answer = await ask(reranker_of(model, executor), body)
    clicks = await ask(reranker_of(model, executor), body | {"objective": {"conversion": 0.0}})

    expected = await reward_by_hand(model, body, answer, lambda p, _: 0.5 + 2.0 * p)
    assert answer["objective"] == {"click": 0.5, "conversion": 2.0, "value": 0.0}
    assert answer["reward"] == pytest.approx(expected, abs=1e-5)
    assert clicks["reward"] == pytest.approx(sum(i["p_click"] for i in clicks["items"]), abs=1e-5)


async def test_late_store_degrades_user_features_only(artifact, executor):
    late = reranker_of(model_of(artifact, LateStore()), executor)
    here = reranker_of(model_of(artifact), executor)

    without = await ask(late, body_of(artifact))
    unknown = await ask(here, body_of(artifact, user_id="unknown"))
    known = await ask(here, body_of(artifact))

    assert without["degraded"] == ["user_features"]
    assert unknown["degraded"] == []
    assert without["items"] == unknown["items"]
    assert known["items"] != unknown["items"]
    # candidates are encoded during the store's 10 ms, however long that takes
    timings = without["timings_ms"]
    assert timings["features"] + timings["encode"] >= 9.5


async def test_short_budget_gives_fewer_lists(artifact, executor):
    # 10 ms a list with headroom of a half: 50 ms allow 3 lists and never 8
    slow = {False: SearchLatency(LatencyModel((0.0, 0.0, 0.010, 0.0)))}
    reranker = reranker_of(model_of(artifact, latency=slow), executor)

    answer = await ask(reranker, body_of(artifact), budget_s=0.05)

    assert answer["degraded"] == ["fewer_lists"]
    assert 2 <= answer["lists_evaluated"] <= 4
    assert answer["reward"] >= answer["input_reward"]


async def test_terminated_run_raises_the_slowdown_factor(artifact, executor):
    class TerminatedGraphs:
        """Graphs whose runs are terminated."""

        def bind(self):
            return self

        def terminate(self):
            """No run is in progress."""

        def generate(self, arrays, *, rules):
            time.sleep(0.01)
            raise DeadlineExceeded(stage="generator", remaining_ms=0.0)

    lists = LatencyModel((0.001, 0.0, 0.0, 0.0))
    reranker = reranker_of(
        model_of(artifact, graphs=TerminatedGraphs(), latency={False: SearchLatency(lists)}),
        executor,
    )

    answer = await ask(reranker, body_of(artifact))

    assert answer["degraded"] == ["input_order"]
    assert (
        lists.slowdown_factor > 1.4
    )  # 10 ms where 1 ms was expected moves it by 5 % of 9 and more


async def test_no_time_for_one_list_serves_input_order(artifact, executor):
    too_slow = {False: SearchLatency(LatencyModel((10.0, 0.0, 0.0, 0.0)))}
    reranker = reranker_of(model_of(artifact, latency=too_slow), executor)
    body = body_of(artifact, list_size=3)

    answer = await ask(reranker, body)

    assert answer["degraded"] == ["input_order"]
    assert served_ids(answer) == body["candidates"]["item_id"][:3]
    assert [i["p_click"] for i in answer["items"]] == [None] * 3
    assert (answer["reward"], answer["input_reward"], answer["lists_evaluated"]) == (None, None, 0)
    RerankResponse.model_validate(answer)


async def test_expired_budget_serves_input_order(artifact, reranker):
    answer = await ask(reranker, body_of(artifact), budget_s=-0.01)

    assert answer["degraded"] == ["user_features", "input_order"]


async def test_request_feature_overrides_the_item_table(artifact, reranker):
    ids = list(artifact.items.ids[:6])
    plain = await ask(reranker, body_of(artifact, candidates={"item_id": ids}, num_lists=1))

    async def with_brand(brands):
        columns = {"item_id": ids, "features": {"brand": brands}}
        return await ask(reranker, body_of(artifact, candidates=columns, num_lists=1))

    untouched = await with_brand([None] * 6)
    moved = await with_brand(["acme", "bolt", "crux", "dune", "echo", "acme"])

    assert untouched["items"] == plain["items"]
    assert moved["input_reward"] != plain["input_reward"]


@pytest.mark.parametrize(
    ("changes", "error", "part"),
    [
        ({"context": {"devise": "phone"}}, ValueRejected, r"context.devise: is none of \['device'"),
        ({"context": {"device": 3.0}}, ValueRejected, "context.device: takes a string"),
        (
            {"candidates": {"item_id": ["i1"], "features": {"upstream_score": [1.0]}}},
            ValueRejected,
            "fed by `score`",
        ),
        (
            {"candidates": {"item_id": ["i1"], "features": {"upstream_raw_score": [1.0]}}},
            ValueRejected,
            "fed by `score`",
        ),
        (
            {"candidates": {"item_id": ["i1"], "features": {"device": ["x"]}}},
            ValueRejected,
            "candidates.features.device: is none of",
        ),
        (
            {"candidates": {"item_id": ["i1"], "features": {"tags": ["new"]}}},
            ValueRejected,
            "candidates.features.tags: takes a list of strings",
        ),
        (
            {"candidates": {"item_id": ["i1"], "features": {"distance": ["far"]}}},
            ValueRejected,
            "candidates.features.distance: takes a number",
        ),
        ({"num_lists": 65}, LimitExceeded, "num_lists: at most 64, not 65"),
        ({"list_size": 5}, LimitExceeded, "list_size: at most 4, not 5"),
        (
            {"candidates": {"item_id": [f"n{i}" for i in range(501)]}},
            LimitExceeded,
            "candidates: at most 500, not 501",
        ),
        ({"objective": {"value": 1.0}}, RequestRejected, "names no field to take values from"),
        ({"objective": {"click": 0.0, "conversion": 0.0}}, RequestRejected, "at least one weight"),
    ],
)
async def test_invalid_field_or_size_is_rejected_by_name(artifact, reranker, changes, error, part):
    with pytest.raises(error, match=part):
        await ask(reranker, body_of(artifact) | changes)


async def test_explanation_is_consistent_with_the_answer(artifact, reranker):
    answer = await ask(reranker, body_of(artifact, explain=True))

    explanation = answer["explanation"]
    lists = explanation["lists"]
    RerankResponse.model_validate(answer)
    assert [x["served"] for x in lists].count(True) == 1
    served = next(x for x in lists if x["served"])
    assert served["item_ids"] == served_ids(answer)
    assert served["reward"] == answer["reward"]
    assert lists[-1]["source"] == "input"
    assert lists[-1]["reward"] == answer["input_reward"]
    for slot, item in zip(explanation["slots"], answer["items"], strict=True):
        assert slot["p_click"] == item["p_click"]
        gains = [n["gain"] for n in slot["neighbors"]]
        assert gains == sorted(gains, reverse=True)
        same = slot["input_item_id"] == slot["item_id"]
        assert (slot["gain_over_input_item"] is None) == same


async def test_explained_gains_equal_evaluated_gains(artifact, executor):
    model = model_of(artifact)
    body = body_of(artifact, explain=True)
    answer = await ask(reranker_of(model, executor), body)
    request = parse_request(json.dumps(body).encode())
    record = await model.store.fetch_user(USER, timeout_s=1.0)
    search_request = await search_request_of(model, request, record)
    ids = list(request.item_ids)
    checked = 0

    for slot in answer["explanation"]["slots"]:
        for tried in slot["neighbors"]:
            edited = served_ids(answer)
            if tried["swapped_with"] is not None:
                edited[tried["swapped_with"]] = edited[slot["slot"]]
            edited[slot["slot"]] = tried["item_id"]
            lists = np.array([[ids.index(i) for i in edited]], dtype=np.int32)
            rewards = run_sequentially(
                bound(model, search_request), score_lists(search_request, lists)
            )[2]
            assert tried["gain"] == pytest.approx(np.mean(rewards) - answer["reward"], abs=3e-6)
            checked += 1

    assert encode_candidates(request, model.encoder, model.items.table).unknown == 0
    assert checked == 5 * 4


async def test_value_objective_uses_request_or_item_values(artifact, executor):
    weights = ManifestObjective(value_field="price")
    model = model_of(artifact, manifest=artifact.manifest.model_copy(update={"objective": weights}))
    body = body_of(artifact, objective={"click": 0.0, "value": 1.0}, num_lists=1)
    ids = body["candidates"]["item_id"]
    prices = np.nan_to_num(artifact.items.numbers["price"][:12]).tolist()
    table = dict(zip(ids, prices, strict=True))
    overridden = table | dict.fromkeys(ids[:6], 7.5)
    overriding = body | {
        "candidates": body["candidates"] | {"features": {"price": [7.5] * 6 + [None] * 6}}
    }

    for requested, value in ((body, table), (overriding, overridden)):
        answer = await ask(reranker_of(model, executor), requested)
        expected = await reward_by_hand(model, requested, answer, lambda p, i, v=value: p * v[i])
        assert answer["reward"] == pytest.approx(expected, rel=1e-4)


async def test_input_list_is_repaired_without_model_time(artifact, executor):
    too_slow = {
        rules: SearchLatency(LatencyModel((10.0, 0.0, 0.0, 0.0))) for rules in (False, True)
    }
    reranker = reranker_of(model_of(artifact, latency=too_slow), executor)
    body = body_of(artifact)
    ids = body["candidates"]["item_id"]
    brands = ["acme"] * 9 + ["bolt", "crux", "dune"]
    body["candidates"]["features"] = {"brand": brands}
    body["constraints"] = {"caps": [{"field": "brand", "max": 1}]}

    answer = await ask(reranker, body)

    assert answer["degraded"] == ["input_order"]
    assert served_ids(answer)[0] == ids[0]
    assert set(served_ids(answer)) == {ids[0], *ids[9:]}


async def test_every_compared_list_obeys_the_rules(artifact, executor):
    reranker = reranker_of(model_of(artifact), executor)
    body = body_of(artifact, explain=True, num_lists=32)
    ids = body["candidates"]["item_id"]
    brand = dict(zip(ids, ["acme"] * 8 + ["bolt", "bolt", "crux", "dune"], strict=True))
    body["candidates"]["features"] = {"brand": list(brand.values())}
    body["constraints"] = {
        "caps": [{"field": "brand", "max": 2}],
        "minimums": [{"field": "brand", "value": "crux", "min": 1}],
        "pinned": [{"slot": 1, "item_id": ids[5]}],
        "exclude": [ids[0]],
    }

    answer = await ask(reranker, body)

    compared = [x["item_ids"] for x in answer["explanation"]["lists"]]
    assert len({tuple(x) for x in compared}) > 5
    for items in compared:
        shown = [brand[i] for i in items]
        assert max(shown.count(b) for b in shown) <= 2
        assert "crux" in shown
        assert items[1] == ids[5]
        assert ids[0] not in items
    for slot in answer["explanation"]["slots"]:
        assert ids[0] not in [n["item_id"] for n in slot["neighbors"]]
    assert answer["explanation"]["slots"][1]["neighbors"] == []
