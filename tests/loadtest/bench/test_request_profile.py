"""The steps of a request are timed once each, and together they are the request."""

import subprocess
import sys
import time

import pytest

from loadtest.bench.request_profile import GRAPH_STEP, PROFILED_STEPS, StepTimer
from tests.tiny_artifact import tiny_artifact


def spin_cpu(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


async def test_step_timer_excludes_nested_steps():
    clockwork = StepTimer()
    inner = clockwork.wrap("inner", lambda: spin_cpu(0.03))

    async def work() -> None:
        spin_cpu(0.01)
        inner()
        inner()

    began = time.thread_time()
    await clockwork.wrap("outer", work)()
    took = time.thread_time() - began

    assert clockwork.step_seconds["inner"] == pytest.approx(0.06, abs=0.005)
    assert clockwork.step_seconds["outer"] == pytest.approx(0.01, abs=0.005)
    assert sum(clockwork.step_seconds.values()) <= took


@pytest.mark.slow  # a process of its own: the clocks stay around the service's functions
def test_request_profile_prints_every_step(tmp_path):
    artifact = tiny_artifact(tmp_path)
    options = ["--artifact", artifact, "--handover", tmp_path / "handover", "--count", "5"]
    done = subprocess.run(
        [sys.executable, "-m", "loadtest.bench.request_profile", *map(str, options)],
        capture_output=True,
        text=True,
        check=True,
    )
    for name in (GRAPH_STEP, *(name for _, _, name in PROFILED_STEPS)):
        assert f"| {name} |" in done.stdout
