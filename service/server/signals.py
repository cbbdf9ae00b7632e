"""Signals of a process: before its event loop runs, and across the start of a child process.

Imports the standard library only, so that handlers are installed before anything slow is imported.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def install_startup_handlers() -> None:
    """Handle signals until the real handlers are set.

    SIGTERM and SIGINT end the process with 0; SIGHUP does nothing. A SIGHUP asks for the artifact
    folder to be read again, and it has not been read yet. As PID 1 a process without a handler
    ignores SIGTERM.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, _end_process)
    signal.signal(signal.SIGHUP, _ignore)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


@contextmanager
def sighup_blocked() -> Iterator[None]:
    """Block SIGHUP: a child process that starts meanwhile gets it after its handlers are set."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


def _end_process(number: int, frame: FrameType | None) -> None:
    os._exit(0)  # nothing is open yet; an exception could be caught by an import


def _ignore(number: int, frame: FrameType | None) -> None:
    """Ignore the signal."""
