"""The steps of a request are timed once each, and together they are the request."""

import subprocess
import sys
import time

import pytest

from tests.artifacts import tiny_artifact
from tests.bench.path_profile import GRAPHS, STEPS, Clockwork


def busy(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


async def test_a_steps_time_is_without_that_of_the_steps_in_it():
    clockwork = Clockwork()
    inner = clockwork.timed("inner", lambda: busy(0.03))

    async def work() -> None:
        busy(0.01)
        inner()
        inner()

    began = time.thread_time()
    await clockwork.timed("outer", work)()
    took = time.thread_time() - began

    assert clockwork.spent["inner"] == pytest.approx(0.06, abs=0.005)
    assert clockwork.spent["outer"] == pytest.approx(0.01, abs=0.005)
    assert sum(clockwork.spent.values()) <= took


@pytest.mark.slow  # a process of its own: the clocks stay around the service's functions
def test_every_step_is_met_and_told(tmp_path):
    artifact = tiny_artifact(tmp_path)
    options = ["--artifact", artifact, "--handover", tmp_path / "handover", "--count", "5"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.path_profile", *map(str, options)],
        capture_output=True,
        text=True,
        check=True,
    )
    for name in (GRAPHS, *(name for _, _, name in STEPS)):
        assert f"| {name} |" in done.stdout
