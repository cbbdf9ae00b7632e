"""Arrivals follow their shape, whoever sends them."""

import itertools
import math
import random

import pytest

from loadtest.load_shapes import SHAPE_KINDS, LoadShape, ShapeKind
from loadtest.poisson import poisson_arrivals

SIGMAS = 4.5  # a count of mean m stays within this many sqrt(m), but for one run in 150,000


def within_poisson_noise(found: int, expected: float) -> bool:
    return abs(found - expected) <= SIGMAS * math.sqrt(expected)


def full_shape(kind: ShapeKind) -> LoadShape:
    return LoadShape(kind=kind, rate=200.0, duration_s=60.0, soak_period_s=40.0)


# Requests expected in seconds 0-15, 15-25, 25-35, 35-45 and 45-60, by hand:
# ramp is 20 + 3 t, its integral 20 t + 1.5 t^2; the spike lasts from 25 to 35;
# soak's integral is 200 t + 60 * 40 / (2 pi) * (1 - cos(2 pi t / 40)).
TURN = 60 * 40 / (2 * math.pi)
COSINES = [math.cos(2 * math.pi * t / 40) for t in (0, 15, 25, 35, 45, 60)]
EXPECTED: dict[ShapeKind, list[float]] = {
    "steady": [3000, 2000, 2000, 2000, 3000],
    "ramp": [637.5, 800, 1100, 1400, 2662.5],
    "spike": [3000, 2000, 10000, 2000, 3000],
    "soak": [
        200 * length + TURN * (COSINES[i] - COSINES[i + 1])
        for i, length in enumerate((15, 10, 10, 10, 15))
    ],
}


@pytest.mark.parametrize("kind", SHAPE_KINDS)
def test_poisson_arrivals_follow_shape_rate(kind):
    due = list(poisson_arrivals(full_shape(kind), random.Random(7)))

    edges = [0, 15, 25, 35, 45, 60]
    counts = [sum(a <= t < b for t in due) for a, b in itertools.pairwise(edges)]
    assert all(within_poisson_noise(n, e) for n, e in zip(counts, EXPECTED[kind], strict=True)), (
        counts
    )
    assert due == sorted(due)
    assert full_shape(kind).expected_arrivals() == pytest.approx(sum(EXPECTED[kind]), rel=2e-3)


def test_poisson_arrivals_gaps_are_exponential():
    shape = LoadShape(rate=500.0, duration_s=60.0)
    due = list(poisson_arrivals(shape, random.Random(3)))
    gaps = [b - a for a, b in itertools.pairwise(due)]

    mean = sum(gaps) / len(gaps)
    spread = math.sqrt(sum((g - mean) ** 2 for g in gaps) / len(gaps))
    assert spread / mean == pytest.approx(1.0, abs=0.05)  # even gaps: 0
    assert sum(g > 2 / 500 for g in gaps) / len(gaps) == pytest.approx(math.exp(-2), abs=0.01)


def test_poisson_arrivals_shares_add_up_to_rate():
    shape = LoadShape(kind="ramp", rate=300.0, duration_s=20.0)
    counts = [
        len(list(poisson_arrivals(shape, random.Random(seed), share=1 / 24))) for seed in range(24)
    ]

    assert within_poisson_noise(sum(counts), shape.expected_arrivals())
    assert len(set(counts)) > 1


def test_poisson_arrivals_late_start_skips_the_past():
    shape = LoadShape(rate=100.0, duration_s=10.0)

    assert min(poisson_arrivals(shape, random.Random(1), start_s=6.0)) >= 6.0
    assert within_poisson_noise(
        len(list(poisson_arrivals(shape, random.Random(1), start_s=6.0))), 400
    )


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"kind": "sawtooth"}, "no shape 'sawtooth': there are steady, ramp, spike, soak"),
        ({"rate": 0.0}, "rate must be above 0"),
        ({"duration_s": math.inf}, "duration_s must be above 0"),
        ({"ramp_from": 1.5}, "ramp_from is a share"),
        ({"kind": "spike", "spike_s": 60.0, "duration_s": 60.0}, "does not fit"),
    ],
)
def test_load_shape_invalid_values_raise_by_name(given, rule):
    with pytest.raises(ValueError, match=rule):
        LoadShape(**given)
