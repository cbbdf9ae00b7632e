"""What is read of Linux, beside a process whose share of a core is known."""

import os
import subprocess
import sys
import time

import pytest

from loadtest.bench.machine import (
    child_affinity,
    core_steal_seconds,
    first_two_cores,
    process_cpu_seconds,
    run_queue_wait_seconds,
)

SPIN = [sys.executable, "-c", "while True: pass"]


def test_run_queue_wait_two_processes_on_one_core():
    core = first_two_cores()[0]
    with child_affinity({core}):
        both = [subprocess.Popen(SPIN) for _ in range(2)]
    try:
        time.sleep(0.3)  # past their start
        before = [(process_cpu_seconds(p.pid), run_queue_wait_seconds(p.pid)) for p in both]
        began = time.monotonic()
        time.sleep(0.6)
        after = [(process_cpu_seconds(p.pid), run_queue_wait_seconds(p.pid)) for p in both]
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


def test_core_steal_seconds_reads_requested_core():
    for core in os.sched_getaffinity(0):
        assert 0 <= core_steal_seconds(core) <= core_steal_seconds(core) < 1e9
