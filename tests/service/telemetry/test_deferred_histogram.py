"""DeferredHistogram against prometheus_client's Histogram: the same exposition."""

import math
import random
import sys
import threading
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from service.telemetry import deferred_histogram

BOUNDS = (0.0, 0.25, 1, 2.5)


@pytest.fixture
def frequent_thread_switches() -> Iterator[None]:
    """Switches threads after every few instructions."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_deferred_histogram_exposition_matches_prometheus_client():
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    rng = random.Random(3)
    values = [*BOUNDS, -0.5, 2.5000001, 1e9, *(rng.gauss(1, 1) for _ in range(50))]
    for kind, registry in ((deferred_histogram.DeferredHistogram, ours), (Histogram, theirs)):
        plain = kind("waited_seconds", "Waited", buckets=BOUNDS, registry=registry)
        named = kind("took_seconds", "Took", ("what", "who"), buckets=BOUNDS, registry=registry)
        named.labels("nothing", "nobody")  # a series exists from the start
        for at, value in enumerate(values):
            plain.observe(value)
            named.labels(["a", "b"][at % 2], "c").observe(value)

    assert generate_latest(ours) == generate_latest(theirs)
    assert b'took_seconds_bucket{le="2.5",what="a",who="c"}' in generate_latest(ours)


def test_deferred_histogram_nan_matches_prometheus_client():
    texts = []
    for kind in (deferred_histogram.DeferredHistogram, Histogram):
        registry = CollectorRegistry()
        metric = kind("waited_seconds", "Waited", buckets=BOUNDS, registry=registry)
        for value in (math.nan, 0.5, math.inf):
            metric.observe(value)
        texts.append(generate_latest(registry))

    assert texts[0] == texts[1]
    assert b"waited_seconds_count 2.0" in texts[0]
    assert b"waited_seconds_sum NaN" in texts[0]


def test_deferred_histogram_wrong_label_count_raises():
    metric = deferred_histogram.DeferredHistogram(
        "took_seconds", "Took", ("what", "who"), buckets=BOUNDS, registry=CollectorRegistry()
    )
    with pytest.raises(ValueError, match=r"what.*who"):
        metric.labels("a")


def test_deferred_histogram_duplicate_name_raises():
    registry = CollectorRegistry()
    deferred_histogram.DeferredHistogram("took_seconds", "Took", buckets=BOUNDS, registry=registry)
    with pytest.raises(ValueError, match="Duplicated"):
        Histogram("took_seconds", "Took", registry=registry)


def test_deferred_histogram_flush_counts_each_observation_once():
    registry = CollectorRegistry()
    metric = deferred_histogram.DeferredHistogram(
        "waited_seconds", "Waited", buckets=BOUNDS, registry=registry
    )
    series = metric.series[()]
    for value in (0.2, 2.0):
        series.observe(value)
    assert (series.pending, sum(series.counts)) == ([0.2, 2.0], 0)

    deferred_histogram.flush_histograms()
    assert (series.pending, series.counts, series.total) == ([], [0, 1, 0, 1, 0], 2.2)

    series.observe(3.0)
    assert b"waited_seconds_count 3.0" in generate_latest(registry)
    assert b"waited_seconds_count 3.0" in generate_latest(registry)


def test_histogram_series_concurrent_observations_are_all_counted(frequent_thread_switches):
    series = deferred_histogram.HistogramSeries(BOUNDS)
    count, threads = 20_000, 3

    def observe() -> None:
        for _ in range(count):
            series.observe(0.5)

    running = [threading.Thread(target=observe) for _ in range(threads)]
    for thread in running:
        thread.start()
    while any(thread.is_alive() for thread in running):
        series.flush()
    series.flush()

    assert sum(series.counts) == count * threads
    assert series.total == 0.5 * count * threads
