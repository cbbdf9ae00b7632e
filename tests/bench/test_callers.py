"""The benchmark's own load: who decides when a request is sent, and what is counted of it."""

import os
import random
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bench import callers
from tests.bench.callers import MOST_OPEN, Callers
from tests.bench.machine import cpu_seconds, memory_mb
from tests.bench.measure import percentile
from tests.loadtest.canned_server import CannedServer


def test_a_slow_server_does_not_slow_open_arrivals_and_each_waits_from_when_it_was_due():
    with CannedServer(delay_s=0.3) as server:
        asking = Callers(server.port, [b"first", b"second"])
        heard = asking.open(0.5, 80.0, random.Random(1))
        asking.close()

    # one caller at a time could have asked twice; a Poisson count of mean 40 stays within 6 sigma
    assert 40 - 6 * 40**0.5 < heard.answers == len(server.came) < 40 + 6 * 40**0.5
    assert server.most_inside > 5
    assert min(heard.latencies) >= 0.3
    assert heard.in_time < heard.answers  # those that came after the end do not make throughput
    assert set(server.bodies) == {b"first", b"second"}


def test_a_closed_loop_keeps_as_many_under_way_as_it_has_connections():
    with CannedServer(delay_s=0.1) as server:
        asking = Callers(server.port, [b"body"])
        heard = asking.closed(0.55, 3)
        asking.close()

    assert server.most_inside == 3
    assert 6 <= heard.answers <= 18  # three connections, at most six times .1 s each
    assert heard.rate == heard.in_time / 0.55


@pytest.mark.parametrize(
    ("server", "failures", "degraded"),
    [
        ({"status": 503}, {"HTTP 503"}, False),
        ({"degraded": ["fewer_lists"]}, set(), True),
        ({}, set(), False),
    ],
)
def test_what_is_no_list_is_a_failure_and_a_poorer_list_is_counted(server, failures, degraded):
    with CannedServer(**server) as running:
        asking = Callers(running.port, [b"body"])
        heard = asking.closed(0.05, 1)
        asking.close()

    assert len(running.came) > 0
    assert set(heard.failures) == failures
    assert heard.failed == (len(running.came) if failures else 0)
    assert heard.answers == len(running.came) - heard.failed
    assert heard.degraded == (heard.answers if degraded else 0)


def test_arrivals_beyond_the_connections_fail_instead_of_waiting_unseen():
    with CannedServer(delay_s=0.5) as server:
        asking = Callers(server.port, [b"body"])
        heard = asking.open(0.4, 1500.0, random.Random(2))
        asking.close()

    assert server.most_inside <= MOST_OPEN
    assert heard.failures["not sent"] > 0
    assert heard.answers + heard.failed == len(heard.lags) + heard.failures["not sent"]


def test_a_load_that_stands_still_says_for_how_long_and_a_slow_server_does_not_count():
    stopped_s = 0.2

    with CannedServer(delay_s=0.1) as server:
        asking = Callers(server.port, [b"body"])
        alone = asking.open(0.4, 100.0, random.Random(3))
        this = os.getpid()
        stop = f"import os, signal, time; os.kill({this}, signal.SIGSTOP); time.sleep({stopped_s})"
        wake = f"os.kill({this}, signal.SIGCONT)"
        with subprocess.Popen([sys.executable, "-c", f"{stop}; {wake}"]):
            stopped = asking.open(1.0, 100.0, random.Random(4))
        asking.close()

    assert alone.stood < stopped_s / 2
    # arrivals are due every 10 ms on average: the stop begins at most some of them before the first
    assert stopped_s / 2 < stopped.stood < 4 * stopped_s


def test_a_connection_that_was_closed_between_two_runs_fails_no_request():
    with CannedServer() as server:
        asking = Callers(server.port, [b"body"])
        asking.closed(0.05, 2)
        port = server.port
    with CannedServer(port=port):
        heard = asking.closed(0.05, 2)
        asking.close()

    assert heard.answers > 0
    assert heard.failed == 0


def test_a_machine_that_stands_still_for_a_while_is_no_server_without_answers(monkeypatch):
    looks = []
    real = select.select

    def wake_up_late(*given):
        """The time is over when it goes on, and the server has not run either."""
        looks.append(given[3])
        return ([], [], []) if len(looks) == 2 else real(*given)

    with CannedServer(delay_s=0.1) as server, Callers(server.port, [b"body"]) as asking:
        monkeypatch.setattr(select, "select", wake_up_late)
        heard = asking.closed(0.05, 2)

    assert len(looks) >= 3
    assert heard.answers == 2


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_server_without_answers_is_given_up_and_nothing_stays_open(monkeypatch):
    monkeypatch.setattr(callers, "_LATE_S", 0.2)
    with CannedServer(delay_s=30.0) as server:
        with Callers(server.port, [b"body"]) as asking:
            with pytest.raises(TimeoutError, match="3 connections heard nothing"):
                asking.closed(0.1, 3)
            before = descriptors()
        assert before - descriptors() == 3


@pytest.mark.parametrize(
    ("percent", "milliseconds"),
    [(50.0, 2000.0), (75.0, 3000.0), (75.1, 4000.0), (100.0, 4000.0), (0.0, 1000.0)],
)
def test_a_percentile_is_the_nearest_rank(percent, milliseconds):
    assert percentile([4.0, 1.0, 3.0, 2.0], percent) == milliseconds


def test_cpu_time_of_a_process_grows_with_its_work_and_not_with_its_sleep():
    def spent(work) -> float:
        before = cpu_seconds(os.getpid())
        work()
        return cpu_seconds(os.getpid()) - before

    def spin() -> None:
        until = time.thread_time() + 0.1
        while time.thread_time() < until:
            pass

    assert spent(spin) >= 0.095
    assert spent(lambda: time.sleep(0.1)) < 0.05


def test_memory_of_a_process_shared_pages_divided_is_at_most_all_of_it():
    held = memory_mb(os.getpid())
    assert 0 < held["pss"] <= held["rss"]
