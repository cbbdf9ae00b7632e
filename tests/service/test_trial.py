import dataclasses
import time

import pytest
from prometheus_client import REGISTRY

from service.rerank.cost import Cost, CostLine
from service.rerank.limits import Limits
from service.rerank.model import ModelHolder
from service.rerank.reranker import Reranker
from service.rerank.trial import Trial
from tests.service.asking import LateStore, ask, body_of, model_of, reranker_of, without_times


def on_trial(artifact, cost=None, **how) -> Trial:
    """A trial of the same nets under the name "new"."""
    model = model_of(artifact, role="canary", **({} if cost is None else {"cost": cost}))
    named = model.manifest.model_copy(update={"artifact": "new"})
    models = ModelHolder()
    models.swap(dataclasses.replace(model, manifest=named))
    return Trial(models, Limits(), clock=time.monotonic, **({"share": 0.0, "shadow": False} | how))


def count(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_the_share_of_users_is_what_was_asked_for_and_always_the_same_users(artifact):
    trial, wider = on_trial(artifact, share=0.2), on_trial(artifact, share=0.4)
    users = [f"user-{n}" for n in range(5000)]

    inside = {user for user in users if trial.pick(user)}

    assert inside == {user for user in users if on_trial(artifact, share=0.2).pick(user)}
    assert inside < {user for user in users if wider.pick(user)}  # widening moves nobody out
    # 5000 draws of .2: standard deviation .0057; four of them
    assert len(inside) / 5000 == pytest.approx(0.2, abs=0.023)
    assert not [u for u in users if on_trial(artifact, share=0.0).pick(u)]
    assert all(on_trial(artifact, share=1.0).pick(u) for u in users)


async def test_a_user_of_the_share_is_served_by_the_candidate_and_counted_as_such(artifact, worker):
    plain = reranker_of(model_of(artifact), worker)
    tried = Reranker(plain.models, worker, Limits(), on_trial(artifact, share=1.0))
    before = count("rerank_reward_count", artifact="canary")

    answer = await ask(tried, body_of(artifact))

    assert answer["artifact"] == "new"
    assert count("rerank_reward_count", artifact="canary") == before + 1


async def test_what_answers_went_without_is_counted_under_the_artifact_that_answered(
    artifact, worker
):
    never = {rules: Cost(CostLine((10.0, 0.0, 0.0, 0.0))) for rules in (False, True)}
    plain = reranker_of(model_of(artifact, cost=never), worker)
    tried = Reranker(plain.models, worker, Limits(), on_trial(artifact, share=1.0, cost=never))

    def counted() -> list[tuple[float, float]]:
        return [
            (
                count("rerank_degraded_total", artifact=role, reason="input_order"),
                count("rerank_input_order_total", artifact=role, cause="deadline_exceeded"),
            )
            for role in ("current", "canary")
        ]

    (current, candidate), asked = counted(), body_of(artifact)
    await ask(plain, asked)
    await ask(tried, asked)
    await ask(tried, asked)

    assert counted() == [
        (current[0] + 1, current[1] + 1),
        (candidate[0] + 2, candidate[1] + 2),
    ]


async def test_a_candidate_in_shadow_is_measured_and_never_seen(artifact, worker):
    trial = on_trial(artifact, shadow=True)
    plain = reranker_of(model_of(artifact), worker)
    tried = Reranker(plain.models, worker, Limits(), trial)
    before = count("rerank_reward_count", artifact="canary")

    alone = await ask(plain, body_of(artifact))
    shadowed = await ask(tried, body_of(artifact))
    await trial.finish()

    assert without_times(shadowed) == without_times(alone)
    assert count("rerank_reward_count", artifact="canary") == before + 1


async def test_a_store_that_does_not_answer_is_not_held_against_a_candidate_in_shadow(
    artifact, worker
):
    trial = on_trial(artifact, shadow=True)
    trial.models.swap(model_of(artifact, LateStore(), role="canary"))
    tried = Reranker(reranker_of(model_of(artifact), worker).models, worker, Limits(), trial)
    names = ("done", "skipped", "failed")
    before = [count("rerank_shadow_total", outcome=name) for name in names]

    await ask(tried, body_of(artifact))
    await trial.finish()

    after = [count("rerank_shadow_total", outcome=name) for name in names]
    assert [a - b for a, b in zip(after, before, strict=True)] == [0, 1, 0]
