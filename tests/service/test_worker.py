import asyncio
import threading
import time

import pytest

from service.errors import DeadlineExceeded
from service.inference.loop_worker import LoopWorker
from service.inference.worker import ThreadWorker
from service.rerank.deadline import Deadline


class Runs:
    """Graphs whose run lasts until it is stopped or let go: what a stuck ONNX run looks like."""

    def __init__(self) -> None:
        self.stopped, self.let_go, self.begun = 0, threading.Event(), 0

    def bind(self) -> "Runs":
        return self

    def stop(self) -> None:
        self.stopped += 1
        self.let_go.set()

    def hold(self, _: object) -> str:
        self.begun += 1
        self.let_go.wait(5.0)
        return "done"


def within(seconds: float) -> Deadline:
    now = time.monotonic()
    return Deadline(now, now + seconds)


@pytest.fixture
def worker():
    made = ThreadWorker()
    yield made
    made.close()


async def test_a_run_that_is_stuck_is_stopped_at_its_deadline_and_the_next_one_served(worker):
    stuck = Runs()
    began = time.monotonic()

    with pytest.raises(DeadlineExceeded):
        await worker.run(stuck, stuck.hold, within(0.03))

    assert 0.025 < time.monotonic() - began < 0.3
    assert stuck.stopped == 1
    assert await worker.run(Runs(), lambda _: "next", within(1.0)) == "next"


async def test_a_job_whose_deadline_passes_before_its_turn_is_never_begun(worker):
    slow, late = Runs(), Runs()
    first = asyncio.create_task(worker.run(slow, slow.hold, within(2.0)))
    await asyncio.sleep(0.01)

    with pytest.raises(DeadlineExceeded):
        await worker.run(late, late.hold, within(0.03))
    slow.let_go.set()

    assert await first == "done"
    assert await worker.run(Runs(), lambda _: 7, within(1.0)) == 7
    assert late.begun == 0


async def test_a_caller_that_is_gone_takes_down_its_own_run_only(worker):
    slow = Runs()
    gone = asyncio.create_task(worker.run(slow, slow.hold, within(2.0)))
    await asyncio.sleep(0.02)
    waiting = asyncio.create_task(worker.run(Runs(), lambda _: "mine", within(2.0)))
    gone.cancel()

    assert await waiting == "mine"
    assert slow.stopped == 1
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_an_error_of_a_job_reaches_its_caller_and_the_thread_lives_on(worker):
    def fail(_: object) -> None:
        raise ZeroDivisionError("in the job")

    with pytest.raises(ZeroDivisionError, match="in the job"):
        await worker.run(Runs(), fail, within(1.0))
    assert await worker.run(Runs(), lambda _: "alive", within(1.0)) == "alive"


@pytest.mark.parametrize("kind", [ThreadWorker, LoopWorker])
async def test_work_after_the_deadline_is_refused_by_either_worker(kind):
    worker, runs = kind(), Runs()

    with pytest.raises(DeadlineExceeded):
        await worker.run(runs, runs.hold, within(-0.001))
    worker.close()

    assert runs.begun == 0
