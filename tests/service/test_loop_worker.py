"""Graphs on the event loop: what a blocked loop may not cost anybody."""

import asyncio
import time
from collections.abc import Callable

import pytest

from service.errors import DeadlineExceeded
from service.inference.artifact import Artifact
from service.inference.loop_worker import LoopWorker
from tests.service.asking import ask, body_of, model_of, reranker_of
from tests.service.test_stuck_graph import BUDGET_S, FREE_AGAIN_S, Stuck
from tests.service.test_worker import Runs, within


@pytest.fixture
def worker():
    made = LoopWorker()
    yield made
    made.close()


def noting(order: list[str], name: str) -> Callable[[object], str]:
    """A job that says when it ran."""

    def job(_: object) -> str:
        order.append(name)
        return name

    return job


async def test_a_run_on_the_loop_that_is_stuck_ends_at_its_deadline(worker):
    stuck, began = Runs(), time.monotonic()

    assert await worker.run(stuck, stuck.hold, within(0.05)) == "done"  # until it was let go

    assert stuck.stopped == 1
    assert 0.045 < time.monotonic() - began < 0.5


async def test_a_real_graph_that_would_take_minutes_ends_at_the_budget(
    artifact: Artifact, worker: LoopWorker
):
    began = time.monotonic()
    stuck = reranker_of(model_of(artifact, graphs=Stuck(artifact)), worker)
    answer = await ask(stuck, body_of(artifact), budget_s=BUDGET_S)
    lasted = time.monotonic() - began
    whole = await ask(reranker_of(model_of(artifact), worker), body_of(artifact), FREE_AGAIN_S)

    assert answer["degraded"] == ["input_order"]
    assert lasted < BUDGET_S + 0.5
    assert whole["degraded"] == []


async def test_between_two_runs_the_loop_serves_what_waits(worker):
    order: list[str] = []
    loop = asyncio.get_running_loop()

    def first(_: object) -> str:
        order.append("first")
        loop.call_soon(order.append, "a reply of the store")  # what came during this run
        return "first"

    runs = [worker.run(Runs(), job, within(1.0)) for job in (first, noting(order, "second"))]
    assert await asyncio.gather(*runs) == ["first", "second"]

    assert order == ["first", "a reply of the store", "second"]


async def test_runs_are_served_in_the_order_in_which_they_came(worker):
    order: list[str] = []
    names = [str(at) for at in range(5)]

    runs = [worker.run(Runs(), noting(order, name), within(1.0)) for name in names]

    assert await asyncio.gather(*runs) == names
    assert order == names


async def test_who_leaves_while_it_waits_or_when_its_turn_has_come_keeps_nobody_waiting(worker):
    order: list[str] = []
    tasks = [
        asyncio.create_task(worker.run(Runs(), noting(order, name), within(1.0)))
        for name in ("first", "leaves waiting", "leaves at its turn", "last")
    ]
    await asyncio.sleep(0)  # the first has run, the others wait
    tasks[1].cancel()
    asyncio.get_running_loop().call_soon(tasks[2].cancel)  # right behind what gives it its turn
    done = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 1.0)

    assert order == ["first", "last"]
    assert [type(outcome) for outcome in done[1:3]] == [asyncio.CancelledError] * 2
    assert await worker.run(Runs(), lambda _: "free", within(1.0)) == "free"


async def test_who_waits_past_its_deadline_is_told_so_and_never_begun(worker):
    late = Runs()

    def long(_: object) -> None:
        time.sleep(0.05)  # a graph on the loop's thread

    jobs = [(Runs(), lambda _: "now", 1.0), (Runs(), long, 1.0), (late, late.hold, 0.02)]
    runs = [worker.run(graphs, job, within(seconds)) for graphs, job, seconds in jobs]
    done = await asyncio.gather(*runs, return_exceptions=True)

    assert done[:2] == ["now", None]
    assert isinstance(done[2], DeadlineExceeded)
    assert late.begun == 0
    assert await worker.run(Runs(), lambda _: "next", within(1.0)) == "next"


async def test_an_earlier_deadline_than_the_one_the_watchdog_sleeps_for_is_kept(worker):
    assert await worker.run(Runs(), lambda _: "long ago", within(60.0)) == "long ago"
    stuck, began = Runs(), time.monotonic()

    await worker.run(stuck, stuck.hold, within(0.03))

    assert stuck.stopped == 1
    assert time.monotonic() - began < 0.5


async def test_a_run_that_is_over_in_time_is_not_stopped_later(worker):
    quick = Runs()
    await worker.run(quick, lambda _: "done", within(0.02))
    await asyncio.sleep(0.05)

    assert quick.stopped == 0


async def test_an_error_of_a_job_ends_its_guard_and_its_turn(worker):
    def fail(_: object) -> None:
        raise ZeroDivisionError("in the job")

    failed = Runs()
    with pytest.raises(ZeroDivisionError, match="in the job"):
        await worker.run(failed, fail, within(0.02))
    await asyncio.sleep(0.05)

    assert failed.stopped == 0
    assert await worker.run(Runs(), lambda _: "next", within(1.0)) == "next"
