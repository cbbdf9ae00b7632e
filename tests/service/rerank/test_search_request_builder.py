"""Rules that may need a search are compiled on a thread, all others on the event loop."""

import asyncio
import json

import pytest

from model.contract.errors import RulesUnsatisfiable, ValueRejected
from model.contract.wire.request import parse_request
from tests.service.asking import ask, body_of, model_of, reranker_of, search_request_of

CAPS = {"caps": [{"field": "brand", "max": 1}]}


def body_with_rules(artifact, rules, brands=("acme", "bolt", "crux", "dune") * 3):
    body = body_of(artifact, constraints=rules)
    body["candidates"]["features"] = {"brand": list(brands)}
    return body


def building(artifact, rules):
    request = parse_request(json.dumps(body_with_rules(artifact, rules)).encode())
    return search_request_of(model_of(artifact), request)


@pytest.mark.parametrize(
    "rules", [CAPS, {"minimums": [{"field": "brand", "value": "dune", "min": 2}]}]
)
async def test_loop_stays_free_while_count_rules_compile(artifact, rules):
    iterations = 0

    async def count_iterations() -> None:
        nonlocal iterations
        while True:
            iterations += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_iterations())
    request = await building(artifact, rules)
    during = iterations
    counting.cancel()

    assert request.has_count_rules
    assert during > 0


@pytest.mark.parametrize(
    "rules", [None, {"pinned": [{"slot": 0, "item_id": "i3"}], "exclude": ["i4"]}]
)
def test_pins_and_exclusions_compile_without_a_thread(artifact, rules):
    coroutine = building(artifact, rules)

    with pytest.raises(StopIteration) as done:  # it ends at its first step, without waiting
        coroutine.send(None)

    assert not done.value.value.has_count_rules


async def test_errors_of_rules_reach_the_caller(artifact, executor):
    reranker = reranker_of(model_of(artifact), executor)
    unsatisfiable = body_with_rules(artifact, CAPS, brands=["acme"] * 12)
    unknown = body_with_rules(artifact, {"caps": [{"field": "brnad", "max": 1}]})

    with pytest.raises(RulesUnsatisfiable) as proven:
        await ask(reranker, unsatisfiable)
    with pytest.raises(ValueRejected, match=r"constraints\.caps\[0\]\.field"):
        await ask(reranker, unknown)

    assert proven.value.constraints == ["constraints.caps[0]"]
