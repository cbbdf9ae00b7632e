"""Our histogram beside the library's: the same text for the same observations."""

import math
import random
import sys
import threading
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from service.telemetry import histogram

BOUNDS = (0.0, 0.25, 1, 2.5)


@pytest.fixture
def often() -> Iterator[None]:
    """Threads that take turns after every few instructions."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_it_shows_what_the_library_shows_for_the_same_values_at_and_between_the_bounds():
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    rng = random.Random(3)
    values = [*BOUNDS, -0.5, 2.5000001, 1e9, *(rng.gauss(1, 1) for _ in range(50))]
    for kind, registry in ((histogram.Histogram, ours), (Histogram, theirs)):
        plain = kind("waited_seconds", "Waited", buckets=BOUNDS, registry=registry)
        named = kind("took_seconds", "Took", ("what", "who"), buckets=BOUNDS, registry=registry)
        named.labels("nothing", "nobody")  # a series exists from the start
        for at, value in enumerate(values):
            plain.observe(value)
            named.labels(["a", "b"][at % 2], "c").observe(value)

    assert generate_latest(ours) == generate_latest(theirs)
    assert b'took_seconds_bucket{le="2.5",what="a",who="c"}' in generate_latest(ours)


def test_what_is_no_number_is_in_no_bucket_and_spoils_the_sum_like_the_librarys():
    texts = []
    for kind in (histogram.Histogram, Histogram):
        registry = CollectorRegistry()
        metric = kind("waited_seconds", "Waited", buckets=BOUNDS, registry=registry)
        for value in (math.nan, 0.5, math.inf):
            metric.observe(value)
        texts.append(generate_latest(registry))

    assert texts[0] == texts[1]
    assert b"waited_seconds_count 2.0" in texts[0]
    assert b"waited_seconds_sum NaN" in texts[0]


def test_a_metric_of_two_labels_takes_no_series_of_one():
    metric = histogram.Histogram(
        "took_seconds", "Took", ("what", "who"), buckets=BOUNDS, registry=CollectorRegistry()
    )
    with pytest.raises(ValueError, match=r"what.*who"):
        metric.labels("a")


def test_two_metrics_of_one_name_are_refused_like_the_librarys():
    registry = CollectorRegistry()
    histogram.Histogram("took_seconds", "Took", buckets=BOUNDS, registry=registry)
    with pytest.raises(ValueError, match="Duplicated"):
        Histogram("took_seconds", "Took", registry=registry)


def test_observations_wait_until_they_are_folded_or_shown_and_none_is_lost_or_counted_twice():
    registry = CollectorRegistry()
    metric = histogram.Histogram("waited_seconds", "Waited", buckets=BOUNDS, registry=registry)
    series = metric.series[()]
    for value in (0.2, 2.0):
        series.observe(value)
    assert (series.pending, sum(series.counts)) == ([0.2, 2.0], 0)

    histogram.fold_all()
    assert (series.pending, series.counts, series.total) == ([], [0, 1, 0, 1, 0], 2.2)

    series.observe(3.0)
    assert b"waited_seconds_count 3.0" in generate_latest(registry)
    assert b"waited_seconds_count 3.0" in generate_latest(registry)


def test_what_another_thread_observes_while_a_series_is_folded_is_counted_too(often):
    series = histogram.Series(BOUNDS)
    count, threads = 20_000, 3

    def observe() -> None:
        for _ in range(count):
            series.observe(0.5)

    running = [threading.Thread(target=observe) for _ in range(threads)]
    for thread in running:
        thread.start()
    while any(thread.is_alive() for thread in running):
        series.fold()
    series.fold()

    assert sum(series.counts) == count * threads
    assert series.total == 0.5 * count * threads
