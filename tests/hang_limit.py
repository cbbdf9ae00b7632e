"""The limit of every wait in the tests that guards against a hang, and of nothing else.

A busy machine never reaches it. What is promised about time is tested on an injected clock or on
the delays that the code asks for.
"""

from __future__ import annotations

import time
from collections.abc import Callable

HANG_S = 60.0


def wait_until(holds: Callable[[], object], what: str, *, seconds: float = HANG_S) -> None:
    """Return once a condition outside this thread holds; fail after `seconds`."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, f"after {seconds:g} s not true: {what}"
        time.sleep(0.02)
