"""Our counter beside the library's: the same text for the same counts."""

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from service.telemetry import metrics
from service.telemetry.tally import Tally

assert metrics.CANDIDATES  # which turns the library's created times off


def test_it_shows_what_the_librarys_counter_shows():
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    for kind, registry in ((Tally, ours), (Counter, theirs)):
        counter = kind("seen_total", "Seen", registry=registry)
        kind("never_total", "Never", registry=registry)
        for count in (1, 100, 52):
            counter.inc(count)

    assert generate_latest(ours) == generate_latest(theirs)
    assert b"seen_total 153.0" in generate_latest(ours)


def test_two_of_one_name_are_refused_like_the_librarys():
    registry = CollectorRegistry()
    Tally("seen_total", "Seen", registry=registry)
    with pytest.raises(ValueError, match="Duplicated"):
        Counter("seen_total", "Seen", registry=registry)
