import dataclasses
import time

import pytest
from prometheus_client import REGISTRY

from service.rerank.artifact_slot import ArtifactSlot
from service.rerank.canary_rollout import CanaryRollout
from service.rerank.request_limits import RequestLimits
from service.rerank.reranker import Reranker
from tests.service.asking import (
    LateStore,
    ask,
    body_of,
    latency_of,
    model_of,
    reranker_of,
    without_times,
)


def canary_of(artifact, share=0.0, shadow=False, **changes) -> CanaryRollout:
    """A canary with the same nets and the name "new"."""
    model = model_of(artifact, role="canary", **changes)
    manifest = model.manifest.model_copy(update={"artifact": "new"})
    artifact_slot = ArtifactSlot()
    artifact_slot.swap(dataclasses.replace(model, manifest=manifest))
    return CanaryRollout(
        artifact_slot, RequestLimits(), share=share, shadow=shadow, clock=time.monotonic
    )


def with_canary(reranker: Reranker, executor, canary: CanaryRollout) -> Reranker:
    """The same reranker with a canary."""
    return Reranker(reranker.artifact_slot, executor, RequestLimits(), canary)


def count(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def shadow_outcomes() -> list[float]:
    return [count("rerank_shadow_total", outcome=o) for o in ("done", "skipped", "failed")]


def test_route_selects_a_stable_share_of_users(artifact):
    canary, wider = canary_of(artifact, share=0.2), canary_of(artifact, share=0.4)
    users = [f"user-{n}" for n in range(5000)]

    routed = {user for user in users if canary.route(user)}

    assert routed == {user for user in users if canary_of(artifact, share=0.2).route(user)}
    assert routed < {user for user in users if wider.route(user)}  # a wider share keeps its users
    # 5000 draws of .2: standard deviation .0057; four of them
    assert len(routed) / 5000 == pytest.approx(0.2, abs=0.023)
    assert not [u for u in users if canary_of(artifact, share=0.0).route(u)]
    assert all(canary_of(artifact, share=1.0).route(u) for u in users)


async def test_canary_serves_users_of_its_share(artifact, executor):
    reranker = reranker_of(model_of(artifact), executor)
    routed = with_canary(reranker, executor, canary_of(artifact, share=1.0))
    before = count("rerank_reward_count", artifact="canary")

    answer = await ask(routed, body_of(artifact))

    assert answer["artifact"] == "new"
    assert count("rerank_reward_count", artifact="canary") == before + 1


async def test_degradation_is_counted_under_the_serving_artifact(artifact, executor):
    too_slow = latency_of(10.0)
    reranker = reranker_of(model_of(artifact, latency=too_slow), executor)
    canary = canary_of(artifact, share=1.0, latency=too_slow)
    routed = with_canary(reranker, executor, canary)

    def counts() -> list[tuple[float, float]]:
        return [
            (
                count("rerank_degraded_total", artifact=role, reason="input_order"),
                count("rerank_input_order_total", artifact=role, cause="deadline_exceeded"),
            )
            for role in ("current", "canary")
        ]

    (current, of_canary), body = counts(), body_of(artifact)
    await ask(reranker, body)
    await ask(routed, body)
    await ask(routed, body)

    assert counts() == [
        (current[0] + 1, current[1] + 1),
        (of_canary[0] + 2, of_canary[1] + 2),
    ]


async def test_canary_in_shadow_is_measured_but_not_served(artifact, executor):
    canary = canary_of(artifact, shadow=True)
    reranker = reranker_of(model_of(artifact), executor)
    shadowed = with_canary(reranker, executor, canary)
    before = count("rerank_reward_count", artifact="canary")

    expected = await ask(reranker, body_of(artifact))
    answer = await ask(shadowed, body_of(artifact))
    await canary.finish()

    assert without_times(answer) == without_times(expected)
    assert count("rerank_reward_count", artifact="canary") == before + 1


async def test_late_store_in_shadow_counts_as_skipped(artifact, executor):
    canary = canary_of(artifact, shadow=True)
    canary.artifact_slot.swap(model_of(artifact, LateStore(), role="canary"))
    shadowed = with_canary(reranker_of(model_of(artifact), executor), executor, canary)
    before = shadow_outcomes()

    await ask(shadowed, body_of(artifact))
    await canary.finish()

    assert [a - b for a, b in zip(shadow_outcomes(), before, strict=True)] == [0, 1, 0]
