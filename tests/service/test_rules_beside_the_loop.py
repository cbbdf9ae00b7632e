"""Rules that may ask for a search are compiled beside the event loop, all others right on it."""

import asyncio
import json

import pytest

from model.contract.errors import RulesUnsatisfiable, ValueRejected
from model.contract.wire.request import parse_request
from tests.service.asking import ask, body_of, model_of, reranker_of, task_of

CAPS = {"caps": [{"field": "brand", "max": 1}]}


def asked(artifact, rules, brands=("acme", "bolt", "crux", "dune") * 3):
    body = body_of(artifact, constraints=rules)
    body["candidates"]["features"] = {"brand": list(brands)}
    return body


def task_under(artifact, rules):
    request = parse_request(json.dumps(asked(artifact, rules)).encode())
    return task_of(model_of(artifact), request)


@pytest.mark.parametrize(
    "rules", [CAPS, {"minimums": [{"field": "brand", "value": "dune", "min": 2}]}]
)
async def test_while_caps_and_minimums_are_compiled_the_loop_serves_others(artifact, rules):
    others = 0

    async def serve_others() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    serving = asyncio.create_task(serve_others())
    task = await task_under(artifact, rules)
    served = others
    serving.cancel()

    assert task.has_rows
    assert served > 0


@pytest.mark.parametrize(
    "rules", [None, {"pinned": [{"slot": 0, "item_id": "i3"}], "exclude": ["i4"]}]
)
def test_without_caps_and_minimums_no_thread_is_woken(artifact, rules):
    building = task_under(artifact, rules)

    with pytest.raises(StopIteration) as done:  # over at its first step: it waited for nothing
        building.send(None)

    assert not done.value.value.has_rows


async def test_what_is_wrong_with_rules_is_told_as_it_was_on_the_loop(artifact, worker):
    reranker = reranker_of(model_of(artifact), worker)
    alike = asked(artifact, CAPS, brands=["acme"] * 12)
    unknown = asked(artifact, {"caps": [{"field": "brnad", "max": 1}]})

    with pytest.raises(RulesUnsatisfiable) as proven:
        await ask(reranker, alike)
    with pytest.raises(ValueRejected, match=r"constraints\.caps\[0\]\.field"):
        await ask(reranker, unknown)

    assert proven.value.constraints == ["constraints.caps[0]"]
