"""Our counter beside the library's: the same text for the same counts."""

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from service.telemetry import service_metrics
from service.telemetry.unlocked_counter import UnlockedCounter

assert service_metrics.OFFERED_CANDIDATES  # which turns the library's created times off


def test_unlocked_counter_exposition_matches_prometheus_client():
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    for kind, registry in ((UnlockedCounter, ours), (Counter, theirs)):
        counter = kind("seen_total", "Seen", registry=registry)
        kind("never_total", "Never", registry=registry)
        for count in (1, 100, 52):
            counter.inc(count)

    assert generate_latest(ours) == generate_latest(theirs)
    assert b"seen_total 153.0" in generate_latest(ours)


def test_unlocked_counter_duplicate_name_raises():
    registry = CollectorRegistry()
    UnlockedCounter("seen_total", "Seen", registry=registry)
    with pytest.raises(ValueError, match="Duplicated"):
        Counter("seen_total", "Seen", registry=registry)
