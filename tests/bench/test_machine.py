"""What is read of Linux, beside a process whose share of a core is known."""

import os
import subprocess
import sys
import time

import pytest

from tests.bench.machine import (
    cpu_seconds,
    kept_waiting_seconds,
    started_on,
    stolen_seconds,
    two_cores,
)

SPIN = [sys.executable, "-c", "while True: pass"]


def test_two_that_share_a_core_keep_each_other_waiting_for_what_the_other_runs():
    core = two_cores()[0]
    with started_on({core}):
        both = [subprocess.Popen(SPIN) for _ in range(2)]
    try:
        time.sleep(0.3)  # past their start
        before = [(cpu_seconds(p.pid), kept_waiting_seconds(p.pid)) for p in both]
        began = time.monotonic()
        time.sleep(0.6)
        after = [(cpu_seconds(p.pid), kept_waiting_seconds(p.pid)) for p in both]
        lasted = time.monotonic() - began
    finally:
        for process in both:
            process.kill()
            process.wait()

    ran, waited = zip(
        *((b[0] - a[0], b[1] - a[1]) for a, b in zip(before, after, strict=True)), strict=True
    )
    for own_run, own_wait in zip(ran, waited, strict=True):
        assert own_run + own_wait == pytest.approx(lasted, rel=0.15)  # always one of the two
        assert own_wait > 0.3 * lasted
    assert sum(ran) < 1.15 * lasted


def test_stolen_time_is_read_of_the_core_asked_for():
    for core in os.sched_getaffinity(0):
        assert 0 <= stolen_seconds(core) <= stolen_seconds(core) < 1e9
