"""Requests that share runs of the graphs: same answers, and nobody pays for another's trouble."""

import asyncio
import threading
import time
from typing import Any

import numpy as np
import pytest

from model.contract.artifact.manifest import GENERATOR_GRAPH
from service.errors import DeadlineExceeded, InferenceFailed
from service.features.memory_user_store import MemoryUserStore
from service.inference.artifact import Artifact, read_artifact
from service.inference.graphs import OrtGraphs, OrtRun
from service.inference.loop_worker import LoopWorker
from service.inference.verify import same_together
from service.inference.worker import ThreadWorker
from service.rerank.cost import Cost, CostLine, Observation
from service.telemetry import service_metrics
from tests.service.asking import ask, body_of, model_of, reranker_of, user_blob
from tests.tiny_artifact import NET_CONFIGS, tiny_artifact

SEEDS = range(6)
SHORT = 2  # list size of the request that has trouble


@pytest.fixture(scope="module", params=sorted(NET_CONFIGS))
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Each kind of nets, verified for shared runs as at a start."""
    artifact = read_artifact(tiny_artifact(tmp_path_factory.mktemp("artifact"), request.param))
    artifact.graphs.shares = same_together(artifact)
    return artifact


@pytest.fixture(params=[LoopWorker, ThreadWorker])
def worker(request: pytest.FixtureRequest):
    made = request.param(4)
    yield made
    made.close()


class Changed(OrtGraphs):
    """The artifact's graphs, whose runs of several are of a class of ours."""

    def __init__(self, artifact: Artifact, run: type[OrtRun]) -> None:
        super().__init__(artifact.manifest, artifact.graphs.sessions)
        self.shares, self.run = True, run

    def bind(self) -> OrtRun:
        return self.run(self)


class Fragile(OrtRun):
    """Breaks whenever the short list's request takes part."""

    def outputs(self, name: str, arrays: Any, *, requests: int = 1) -> dict[str, Any]:
        if (arrays["slot_valid"].sum(axis=1) == SHORT).any():
            raise InferenceFailed(graph=name, reason="the short one")
        return super().outputs(name, arrays, requests=requests)


class Slow(OrtRun):
    """Hangs as long as the short list's request takes part, until it is stopped."""

    def __init__(self, graphs: OrtGraphs) -> None:
        super().__init__(graphs)
        self.let_go = threading.Event()

    def stop(self) -> None:
        super().stop()
        self.let_go.set()

    def outputs(self, name: str, arrays: Any, *, requests: int = 1) -> dict[str, Any]:
        if (arrays["slot_valid"].sum(axis=1) == SHORT).any():
            assert self.let_go.wait(5.0)
            raise DeadlineExceeded(stage=name, remaining_ms=0.0)
        return super().outputs(name, arrays, requests=requests)


def own_body(artifact: Artifact, seed: int) -> dict[str, Any]:
    """A request of the same size as the others, of items of its own."""
    return body_of(artifact, seed=seed, candidates={"item_id": artifact.items.ids[seed:][:20]})


def same(answer: dict[str, Any]) -> dict[str, Any]:
    """What of an answer does not hang on the time."""
    return {k: v for k, v in answer.items() if k not in {"timings_ms", "request_id"}}


def shared() -> list[float]:
    """How many requests each shared run had, of those since the last fold."""
    return list(service_metrics.BATCH_SIZE.labels().pending)


async def all_at_once(artifact: Artifact, model: Any, worker: Any, **first: Any) -> list[Any]:
    """Answers to requests that come in the same turn of the loop; `first` changes one of them."""
    reranker = reranker_of(model, worker)
    bodies = [own_body(artifact, seed) for seed in SEEDS]
    bodies[1] |= first
    asked = [ask(reranker, body, budget_s=body.pop("budget_s", 5.0)) for body in bodies]
    return await asyncio.gather(*asked)


def test_these_graphs_give_the_same_bits_to_requests_that_share_a_run(kind: Artifact):
    assert kind.graphs.shares


class Leaning(OrtRun):
    """Says the next larger number to requests in company."""

    def outputs(self, name: str, arrays: Any, *, requests: int = 1) -> dict[str, Any]:
        made = super().outputs(name, arrays, requests=requests)
        if "p_click" in made and len(arrays["start"]) > 1:
            made["p_click"] = np.nextafter(made["p_click"], np.float32(1))
        return made


def test_graphs_whose_answers_hang_on_the_company_are_found_out(kind: Artifact):
    leaning = Changed(kind, Leaning)

    assert not same_together(Artifact(kind.folder, kind.manifest, leaning, kind.items))


async def test_who_shares_runs_is_answered_as_who_is_alone(kind: Artifact, worker):
    model = model_of(kind)
    reranker = reranker_of(model, worker)
    alone = [await ask(reranker, own_body(kind, seed)) for seed in SEEDS]
    before = len(shared())

    together = await all_at_once(kind, model, worker)

    assert [same(answer) for answer in together] == [same(answer) for answer in alone]
    assert len({str(same(answer)["items"]) for answer in alone}) > 1
    assert sum(shared()[before:]) >= 4
    assert max(shared()[before:]) <= 4


async def test_users_with_longer_and_shorter_histories_share_runs_and_are_answered_as_alone(
    kind: Artifact, worker
):
    most = kind.manifest.lengths.sessions
    users = {f"h{count}": user_blob(kind, count) for count in (2, 0, most + 1, 1, most, 3)}
    store = MemoryUserStore(users, schema_hash=kind.manifest.schema_hash)
    reranker = reranker_of(model_of(kind, store), worker)
    bodies = [own_body(kind, 1) | {"user_id": user} for user in users]
    alone = [await ask(reranker, body) for body in bodies]
    before = len(shared())

    together = await asyncio.gather(*(ask(reranker, body) for body in bodies))

    assert [same(answer) for answer in together] == [same(answer) for answer in alone]
    assert len({answer["reward"] for answer in alone}) > 3  # histories do count
    assert sum(shared()[before:]) >= 4


class Padding(OrtRun):
    """Says the next larger number where histories are padded to the graphs' most."""

    def outputs(self, name: str, arrays: Any, *, requests: int = 1) -> dict[str, Any]:
        made = super().outputs(name, arrays, requests=requests)
        most = self._graphs.manifest.lengths.sessions
        if name == GENERATOR_GRAPH and arrays["sessions"].shape[1] == most:
            made["known"] = np.nextafter(made["known"], np.float32(1))
        return made


def test_graphs_whose_answers_hang_on_how_far_a_history_is_padded_are_found_out(kind: Artifact):
    padding = Changed(kind, Padding)

    assert not same_together(Artifact(kind.folder, kind.manifest, padding, kind.items))


async def test_only_requests_of_one_kind_share_runs(kind: Artifact, worker):
    """Caps need another graph, an explanation a batch of its own, other candidates other sizes."""
    before = len(shared())
    reranker = reranker_of(model_of(kind), worker)
    caps = {"caps": [{"field": "brand", "max": 1}]}
    bodies = [
        body_of(kind),
        body_of(kind, constraints=caps),
        body_of(kind, explain=True),
        body_of(kind, candidates={"item_id": list(kind.items.ids[:9])}),
    ]

    answers = await asyncio.gather(*(ask(reranker, body) for body in bodies))

    assert [answer["degraded"] for answer in answers] == [[], [], [], []]
    assert len(shared()) == before


async def test_lists_of_other_lengths_and_numbers_share_what_they_can(kind: Artifact, worker):
    model = model_of(kind)
    reranker = reranker_of(model, worker)
    changes = {"list_size": 3, "num_lists": 5}
    alone = await ask(reranker, own_body(kind, 1) | changes)

    together = await all_at_once(kind, model, worker, **changes)

    assert same(together[1]) == same(alone)
    assert [answer["degraded"] for answer in together] == [[]] * len(SEEDS)


async def test_who_has_no_time_for_company_is_not_waited_with(kind: Artifact):
    """A run of four takes three times as long as one of one; the second has time for one."""
    worker, line = LoopWorker(4), CostLine((0.2, 0.0, 0.0, 0.0))
    slow = {rules: Cost(line, CostLine((1e-6, 0.0, 0.0, 0.0))) for rules in (False, True)}
    before = len(shared())

    answers = await all_at_once(kind, model_of(kind, cost=slow), worker, budget_s=0.4)
    worker.close()

    assert [answer["degraded"] for answer in answers] == [[]] * len(SEEDS)
    assert shared()[before:] == [3, 2]  # without the second, and without it again


async def test_who_ends_up_alone_counts_its_run_as_its_own(kind: Artifact):
    """The others have no time for company: the first one's runs are no faster for having asked."""
    seen: list[int] = []

    class Noting(CostLine):
        def observe(self, run: Observation) -> None:
            seen.append(run.requests)

    worker, line = LoopWorker(8), Noting((0.2, 0.0, 0.0, 0.0))
    slow = {rules: Cost(line, CostLine((1e-6, 0.0, 0.0, 0.0))) for rules in (False, True)}
    reranker = reranker_of(model_of(kind, cost=slow), worker)
    budgets = [5.0, 0.4, 0.4]

    bodies = [own_body(kind, seed) for seed in range(3)]
    await asyncio.gather(
        *(ask(reranker, body, left) for body, left in zip(bodies, budgets, strict=True))
    )
    worker.close()

    assert seen == [1, 1, 1]


async def test_a_run_is_no_larger_than_its_requests_bear(kind: Artifact):
    """Of 60 candidates and 64 lists each, three are too many places to choose from."""
    worker, before = LoopWorker(8), len(shared())
    body = {"candidates": {"item_id": list(kind.items.ids[:60])}, "num_lists": 64}

    reranker = reranker_of(model_of(kind), worker)
    await asyncio.gather(*(ask(reranker, body_of(kind, seed=seed) | body, 5.0) for seed in SEEDS))
    worker.close()

    assert shared()[before:] == [3, 3]


async def test_who_asks_for_more_lists_joins_no_run_that_is_too_large_for_it(kind: Artifact):
    worker, before = LoopWorker(8), len(shared())
    reranker = reranker_of(model_of(kind), worker)
    offer = {"candidates": {"item_id": list(kind.items.ids[:60])}}
    bodies = [body_of(kind, num_lists=lists) | offer for lists in (1, 64, 64, 64, 64)]

    await asyncio.gather(*(ask(reranker, body, 5.0) for body in bodies))
    worker.close()

    assert max(shared()[before:]) <= 3


async def test_one_whose_graphs_fail_is_the_only_one(kind: Artifact, worker):
    model = model_of(kind, graphs=Changed(kind, Fragile))
    whole = await all_at_once(kind, model_of(kind), worker)

    answers = await all_at_once(kind, model, worker, list_size=SHORT)

    assert answers[1]["degraded"] == ["input_order"]
    for at in (0, 2, 3, 4, 5):
        assert same(answers[at]) == same(whole[at])


async def test_a_run_that_ends_at_the_deadline_of_one_is_made_again_for_the_others(
    kind: Artifact, worker
):
    model = model_of(kind, graphs=Changed(kind, Slow))
    whole = await all_at_once(kind, model_of(kind), worker)
    began = time.monotonic()

    answers = await all_at_once(kind, model, worker, list_size=SHORT, budget_s=0.3)

    assert answers[1]["degraded"] == ["input_order"]
    for at in (0, 2, 3, 4, 5):
        assert same(answers[at]) == same(whole[at])
    assert 0.25 < time.monotonic() - began < 3.0


async def test_a_caller_who_leaves_a_shared_run_takes_nobody_along(kind: Artifact):
    worker, model = ThreadWorker(4), model_of(kind, graphs=Changed(kind, Slow))
    reranker = reranker_of(model, worker)
    bodies = [own_body(kind, seed) for seed in SEEDS]
    tasks = [
        asyncio.create_task(ask(reranker, body | ({"list_size": SHORT} if at == 1 else {}), 9.0))
        for at, body in enumerate(bodies)
    ]
    await asyncio.sleep(0.2)  # they share the run that hangs for the second one

    tasks[1].cancel()
    answers: list[Any] = await asyncio.gather(*tasks, return_exceptions=True)
    worker.close()

    assert isinstance(answers[1], asyncio.CancelledError)
    for at in (0, 2, 3, 4, 5):
        assert answers[at]["degraded"] == []


async def test_with_one_run_a_request_nobody_shares(kind: Artifact):
    worker, before = LoopWorker(1), len(shared())

    await all_at_once(kind, model_of(kind), worker)
    worker.close()

    assert len(shared()) == before


def test_a_shared_run_says_as_much_of_the_pace_as_one_alone():
    line = CostLine((0.001, 0.0, 0.0, 0.0))

    line.observe(Observation(10, 8, 0.001 * (1 + 0.65 * 3), requests=4))

    assert line.pace == pytest.approx(1.0)
