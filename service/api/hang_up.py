"""Who hears that a client hung up before its answer.

ASGI tells by `receive`, which takes a task of its own to wait on: 7 of the endpoint's 29 us without
its use case. Our protocol tells by a call, as an extension of the scope; any other server is heard
the long way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from starlette.types import Receive, Scope

from service.api.bodies import ClientGone
from service.api.interrupt import Interruptible

# scope["extensions"][HANG_UP]["tell"](callback): called when the connection is lost; None: no more
HANG_UP = "relist.hang_up"


def watch(scope: Scope, receive: Receive, work: Interruptible) -> Callable[[], object]:
    """End the work with ClientGone when the client hangs up; returns what ends the watch."""
    extension = scope.get("extensions", {}).get(HANG_UP)
    if extension is None:
        return asyncio.create_task(_until_gone(receive, work)).cancel
    tell = extension["tell"]
    tell(lambda: work.end(ClientGone()))
    return partial(tell, None)


async def _until_gone(receive: Receive, work: Interruptible) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    work.end(ClientGone())
