import asyncio

import pytest

from service.api.concurrency import ConcurrencyLimiter
from service.errors import Overloaded, ShuttingDown

AMPLE_S = 5.0


async def test_limiter_when_full_rejects_until_release():
    limiter = ConcurrencyLimiter(max_inflight=1, max_waiting=1)

    with limiter.acquire(), limiter.acquire(), pytest.raises(Overloaded):
        limiter.acquire()
    with limiter.acquire() as permit:
        await permit.wait_for_slot(AMPLE_S)
        assert limiter.in_flight == 1


async def test_limiter_gives_slots_first_in_first_out():
    limiter = ConcurrencyLimiter(max_inflight=1, max_waiting=3)
    order = []

    async def hold_slot(name: int, leave: asyncio.Event) -> None:
        with limiter.acquire() as permit:
            await permit.wait_for_slot(AMPLE_S)
            order.append(name)
            await leave.wait()

    leave = asyncio.Event()
    tasks = [asyncio.create_task(hold_slot(n, leave)) for n in range(4)]
    await asyncio.sleep(0)
    assert order == [0]
    leave.set()
    await asyncio.gather(*tasks)

    assert order == [0, 1, 2, 3]
    assert limiter.in_flight == 0


async def test_limiter_cancelled_waiter_leaves_slot_to_next():
    limiter = ConcurrencyLimiter(max_inflight=1, max_waiting=2)
    leave = asyncio.Event()
    served = []

    async def hold_slot(name: int) -> None:
        with limiter.acquire() as permit:
            await permit.wait_for_slot(AMPLE_S)
            served.append(name)
            await leave.wait()

    tasks = [asyncio.create_task(hold_slot(n)) for n in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    leave.set()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert served == [0, 2]
    assert limiter.in_flight == 0


async def test_limiter_slot_of_cancelled_waiter_is_passed_on():
    limiter = ConcurrencyLimiter(max_inflight=1, max_waiting=2)
    first = limiter.acquire()
    await first.wait_for_slot(AMPLE_S)
    served = []

    async def hold_slot(name: int) -> None:
        with limiter.acquire() as permit:
            await permit.wait_for_slot(AMPLE_S)
            served.append(name)

    second, third = (asyncio.create_task(hold_slot(n)) for n in (2, 3))
    await asyncio.sleep(0)
    first.__exit__(None, None, None)  # the slot is now the second one's ..
    second.cancel()  # .. which has not run yet
    await asyncio.gather(second, third, return_exceptions=True)

    assert served == [3]
    assert limiter.in_flight == 0


async def test_permit_after_timeout_goes_on_without_slot():
    limiter = ConcurrencyLimiter(max_inflight=1, max_waiting=2)
    first = limiter.acquire()
    await first.wait_for_slot(AMPLE_S)
    with limiter.acquire() as late:
        for within_s in (0.01, 0.0, -1.0):
            await asyncio.wait_for(late.wait_for_slot(within_s), 1.0)
            assert limiter.in_flight == 1
        with limiter.acquire() as waiter:
            waiting = asyncio.create_task(waiter.wait_for_slot(AMPLE_S))
            await asyncio.sleep(0)
            assert not waiting.done()
            first.__exit__(None, None, None)
            await asyncio.wait_for(waiting, 1.0)
            assert limiter.in_flight == 1

    assert limiter.in_flight == 0


async def test_limiter_closed_rejects_and_lets_running_finish():
    limiter = ConcurrencyLimiter(max_inflight=2, max_waiting=0)
    with limiter.acquire() as permit:
        await permit.wait_for_slot(1.0)
        limiter.close()

        with pytest.raises(ShuttingDown):
            limiter.acquire()
        assert limiter.in_flight == 1
    assert limiter.in_flight == 0
