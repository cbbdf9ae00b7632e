import asyncio

import pytest

from service.api.admission import Admission
from service.errors import Overloaded, ShuttingDown

AMPLE_S = 5.0


async def test_above_all_places_a_request_is_refused_at_once_and_let_in_once_one_has_left():
    admission = Admission(max_inflight=1, max_waiting=1)

    with admission.enter(), admission.enter(), pytest.raises(Overloaded):
        admission.enter()
    with admission.enter() as visitor:
        await visitor.turn(AMPLE_S)
        assert admission.in_flight == 1


async def test_turns_are_given_in_the_order_of_asking():
    admission = Admission(max_inflight=1, max_waiting=3)
    order = []

    async def visit(name: int, leave: asyncio.Event) -> None:
        with admission.enter() as visitor:
            await visitor.turn(AMPLE_S)
            order.append(name)
            await leave.wait()

    leave = asyncio.Event()
    tasks = [asyncio.create_task(visit(n, leave)) for n in range(4)]
    await asyncio.sleep(0)
    assert order == [0]
    leave.set()
    await asyncio.gather(*tasks)

    assert order == [0, 1, 2, 3]
    assert admission.in_flight == 0


async def test_a_request_that_gave_up_waiting_does_not_take_the_next_ones_place_with_it():
    admission = Admission(max_inflight=1, max_waiting=2)
    leave = asyncio.Event()
    served = []

    async def visit(name: int) -> None:
        with admission.enter() as visitor:
            await visitor.turn(AMPLE_S)
            served.append(name)
            await leave.wait()

    tasks = [asyncio.create_task(visit(n)) for n in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    leave.set()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert served == [0, 2]
    assert admission.in_flight == 0


async def test_a_turn_given_to_one_who_is_cancelled_in_the_same_moment_is_passed_on():
    admission = Admission(max_inflight=1, max_waiting=2)
    first = admission.enter()
    await first.turn(AMPLE_S)
    served = []

    async def visit(name: int) -> None:
        with admission.enter() as visitor:
            await visitor.turn(AMPLE_S)
            served.append(name)

    second, third = (asyncio.create_task(visit(n)) for n in (2, 3))
    await asyncio.sleep(0)
    first.__exit__(None, None, None)  # the turn is now the second one's ..
    second.cancel()  # .. who has not woken up yet
    await asyncio.gather(second, third, return_exceptions=True)

    assert served == [3]
    assert admission.in_flight == 0


async def test_who_waited_too_long_goes_on_without_a_place_and_takes_none_from_the_next():
    admission = Admission(max_inflight=1, max_waiting=2)
    first = admission.enter()
    await first.turn(AMPLE_S)
    with admission.enter() as late:
        for within_s in (0.01, 0.0, -1.0):
            await asyncio.wait_for(late.turn(within_s), 1.0)
            assert admission.in_flight == 1
        with admission.enter() as patient:
            waiting = asyncio.create_task(patient.turn(AMPLE_S))
            await asyncio.sleep(0)
            assert not waiting.done()
            first.__exit__(None, None, None)
            await asyncio.wait_for(waiting, 1.0)
            assert admission.in_flight == 1

    assert admission.in_flight == 0


async def test_a_closed_door_lets_nobody_in_and_who_is_inside_leave():
    admission = Admission(max_inflight=2, max_waiting=0)
    with admission.enter() as visitor:
        await visitor.turn(1.0)
        admission.close()

        with pytest.raises(ShuttingDown):
            admission.enter()
        assert admission.in_flight == 1
    assert admission.in_flight == 0
