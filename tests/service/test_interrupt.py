"""A block that others end: by their error, unless its task is cancelled from outside too."""

import asyncio

import pytest

from service.api.interrupt import Interruptible


class Gone(Exception):
    pass


async def ended(why: str) -> None:
    """Wait in a block that a callback ends."""
    with Interruptible() as block:
        asyncio.get_running_loop().call_soon(block.end, Gone(why))
        await asyncio.sleep(5)


async def test_a_block_that_waits_is_ended_with_the_error_and_its_task_goes_on():
    with pytest.raises(Gone, match="now"):
        await ended("now")

    await asyncio.sleep(0)  # no cancellation is left over
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_an_inner_blocks_error_is_that_of_an_outer_ones_ordinary_failure():
    with pytest.raises(Gone, match="inner"), Interruptible():
        await ended("inner")


async def test_a_block_that_nobody_ends_lets_its_own_error_and_result_through():
    with Interruptible():
        assert await asyncio.sleep(0, "through") == "through"
    with pytest.raises(ZeroDivisionError), Interruptible():
        await asyncio.sleep(0, 1 / 0)


async def test_who_is_cancelled_from_outside_at_the_same_moment_stays_cancelled():
    blocks = []

    async def wait() -> None:
        with Interruptible() as block:
            blocks.append(block)
            await asyncio.sleep(5)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    blocks[0].end(Gone("hung up"))
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
