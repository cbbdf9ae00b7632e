"""The benchmark's own load: who decides when a request is sent, and what is counted of it."""

import os
import random
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from loadtest.bench import load_loops
from loadtest.bench.load_loops import MAX_CONNECTIONS, LoadLoops
from loadtest.bench.machine import process_cpu_seconds, process_memory_mb
from loadtest.bench.measurements import percentile_ms
from tests.loadtest.canned_server import CannedServer


def test_run_open_slow_server_keeps_arrival_rate():
    with CannedServer(delay_s=0.3) as server:
        asking = LoadLoops(server.port, [b"first", b"second"])
        heard = asking.run_open(0.5, 80.0, random.Random(1))
        asking.close()

    # one caller at a time could have asked twice; a Poisson count of mean 40 stays within 6 sigma
    assert 40 - 6 * 40**0.5 < heard.answers == len(server.arrival_times) < 40 + 6 * 40**0.5
    assert server.max_in_flight > 5
    assert min(heard.latencies) >= 0.3
    assert (
        heard.answered_in_run < heard.answers
    )  # those that came after the end do not make throughput
    assert set(server.bodies) == {b"first", b"second"}


def test_run_closed_keeps_one_request_per_connection():
    with CannedServer(delay_s=0.1) as server:
        asking = LoadLoops(server.port, [b"body"])
        heard = asking.run_closed(0.55, 3)
        asking.close()

    assert server.max_in_flight == 3
    assert 6 <= heard.answers <= 18  # three connections, at most six times .1 s each
    assert heard.throughput == heard.answered_in_run / 0.55


@pytest.mark.parametrize(
    ("server", "failures", "degraded"),
    [
        ({"status": 503}, {"HTTP 503"}, False),
        ({"degraded": ["fewer_lists"]}, set(), True),
        ({}, set(), False),
    ],
)
def test_run_closed_counts_failures_and_degraded(server, failures, degraded):
    with CannedServer(**server) as running:
        asking = LoadLoops(running.port, [b"body"])
        heard = asking.run_closed(0.05, 1)
        asking.close()

    assert len(running.arrival_times) > 0
    assert set(heard.failures) == failures
    assert heard.failed == (len(running.arrival_times) if failures else 0)
    assert heard.answers == len(running.arrival_times) - heard.failed
    assert heard.degraded == (heard.answers if degraded else 0)


def test_run_open_above_max_connections_fails():
    with CannedServer(delay_s=0.5) as server:
        asking = LoadLoops(server.port, [b"body"])
        heard = asking.run_open(0.4, 1500.0, random.Random(2))
        asking.close()

    assert server.max_in_flight <= MAX_CONNECTIONS
    assert heard.failures["not sent"] > 0
    assert heard.answers + heard.failed == len(heard.send_lags) + heard.failures["not sent"]


def test_run_open_stopped_client_reports_stall():
    stopped_s = 0.2

    with CannedServer(delay_s=0.1) as server:
        asking = LoadLoops(server.port, [b"body"])
        alone = asking.run_open(0.4, 100.0, random.Random(3))
        this = os.getpid()
        stop = f"import os, signal, time; os.kill({this}, signal.SIGSTOP); time.sleep({stopped_s})"
        wake = f"os.kill({this}, signal.SIGCONT)"
        with subprocess.Popen([sys.executable, "-c", f"{stop}; {wake}"]):
            stopped = asking.run_open(1.0, 100.0, random.Random(4))
        asking.close()

    assert alone.longest_stall_s < stopped_s / 2
    # arrivals are due every 10 ms on average: the stop begins at most some of them before the first
    assert stopped_s / 2 < stopped.longest_stall_s < 4 * stopped_s


def test_run_closed_replaces_closed_connection():
    with CannedServer() as server:
        asking = LoadLoops(server.port, [b"body"])
        asking.run_closed(0.05, 2)
        port = server.port
    with CannedServer(port=port):
        heard = asking.run_closed(0.05, 2)
        asking.close()

    assert heard.answers > 0
    assert heard.failed == 0


def test_run_closed_late_wakeup_is_no_timeout(monkeypatch):
    looks = []
    real = select.select

    def wake_up_late(*given):
        """The time is over when it goes on, and the server has not run either."""
        looks.append(given[3])
        return ([], [], []) if len(looks) == 2 else real(*given)

    with CannedServer(delay_s=0.1) as server, LoadLoops(server.port, [b"body"]) as asking:
        monkeypatch.setattr(select, "select", wake_up_late)
        heard = asking.run_closed(0.05, 2)

    assert len(looks) >= 3
    assert heard.answers == 2


def open_descriptor_count() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_run_closed_silent_server_raises_and_closes(monkeypatch):
    monkeypatch.setattr(load_loops, "_LATE_S", 0.2)
    with CannedServer(delay_s=30.0) as server:
        with LoadLoops(server.port, [b"body"]) as asking:
            with pytest.raises(TimeoutError, match="3 connections heard nothing"):
                asking.run_closed(0.1, 3)
            before = open_descriptor_count()
        assert before - open_descriptor_count() == 3


@pytest.mark.parametrize(
    ("percent", "milliseconds"),
    [(50.0, 2000.0), (75.0, 3000.0), (75.1, 4000.0), (100.0, 4000.0), (0.0, 1000.0)],
)
def test_percentile_ms_uses_nearest_rank(percent, milliseconds):
    assert percentile_ms([4.0, 1.0, 3.0, 2.0], percent) == milliseconds


def test_process_cpu_seconds_count_work_not_sleep():
    def spent(work) -> float:
        before = process_cpu_seconds(os.getpid())
        work()
        return process_cpu_seconds(os.getpid()) - before

    def spin() -> None:
        until = time.thread_time() + 0.1
        while time.thread_time() < until:
            pass

    assert spent(spin) >= 0.095
    assert spent(lambda: time.sleep(0.1)) < 0.05


def test_process_memory_mb_pss_is_at_most_rss():
    held = process_memory_mb(os.getpid())
    assert 0 < held["pss"] <= held["rss"]
