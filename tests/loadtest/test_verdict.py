"""Counts of several processes, added up and held against the objective."""

import json
import random
from collections import Counter

import numpy as np
import pytest

from loadtest.histogram import Histogram
from loadtest.referee import Referee
from loadtest.shapes import Shape
from loadtest.tally import NOT_SENT, Tally
from loadtest.verdict import Objective, judge, table

BUCKET = 0.0051  # half a bucket of 1 %
SHAPE = Shape(rate=100.0, duration_s=10.0)


def latencies(seed: int, count: int, scale: float) -> list[float]:
    rng = random.Random(seed)
    return [scale * rng.lognormvariate(0.0, 1.0) for _ in range(count)]


def tally(seconds: list[float], **changes) -> Tally:
    made = Tally(arrivals=len(seconds), in_time=len(seconds))
    for s in seconds:
        made.latency.add(s)
        made.lag.add(0.0005)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_percentiles_over_all_processes_are_those_of_all_their_answers():
    fast, slow = latencies(1, 9000, 0.004), latencies(2, 1000, 0.080)
    whole = Histogram()
    for part in (fast, slow):
        sent = Histogram()
        for s in part:
            sent.add(s)
        whole.merge(Histogram(json.loads(json.dumps(sent.pairs()))))

    for percent in (50, 90, 99, 99.9):
        exact = np.percentile(fast + slow, percent, method="inverted_cdf")
        assert whole.percentile(percent) == pytest.approx(exact, rel=BUCKET)
    averaged = (np.percentile(fast, 99) + np.percentile(slow, 99)) / 2
    assert whole.percentile(99) != pytest.approx(averaged, rel=0.2)


def test_a_histogram_takes_anything_from_nothing_to_hours():
    held = Histogram()
    assert held.percentile(50) is None
    for seconds in (0.0, 1e-9, 3600.0):
        held.add(seconds)

    assert held.percentile(50) == pytest.approx(1e-6)
    assert held.percentile(100) == pytest.approx(3600.0, rel=BUCKET)


def test_what_travels_between_processes_is_what_was_counted():
    one = tally(
        [0.01, 0.02], failures=Counter({"timeout": 1}), degraded=Counter({"input_order": 2})
    )
    one.arrivals, one.degraded_answers = 3, 2
    other = tally([0.03], failures=Counter({"timeout": 2, NOT_SENT: 4}))
    other.arrivals = 7

    one.merge(Tally.from_wire(json.loads(json.dumps(other.to_wire()))))

    assert (one.arrivals, one.answers, one.failed, one.in_time) == (10, 3, 7, 3)
    assert one.failures == {"timeout": 3, NOT_SENT: 4}
    assert one.degraded == {"input_order": 2}
    assert one.latency.percentile(100) == pytest.approx(0.03, rel=BUCKET)


def missed(counted: Tally, **objective) -> list[str]:
    found = judge(counted, SHAPE, Objective(**objective), ran_s=10.0)
    assert found.met == (not [r for r in found.rows if not r.met])
    return [row.name for row in found.rows if not row.met]


def test_a_run_that_meets_every_demand_is_met():
    assert missed(tally([0.010] * 1000)) == []


@pytest.mark.parametrize(
    ("changes", "objective", "expected"),
    [
        ({}, {"p99_ms": 9.0}, ["p99 of answers"]),
        ({"arrivals": 1002}, {}, ["errors"]),  # two of which nothing was ever heard
        ({"arrivals": 1002}, {"error_ratio": 0.002}, []),
        ({"degraded_answers": 11}, {}, ["degraded answers"]),
        ({"in_time": 949}, {}, ["answers a second"]),
        ({"in_time": 950}, {}, []),
        ({}, {"lag_ms": 0.4}, ["generator's lag, p99"]),
    ],
)
def test_each_demand_is_missed_alone(changes, objective, expected):
    assert missed(tally([0.010] * 1000, **changes), **objective) == expected


def test_fewer_arrivals_than_chance_allows_mean_that_a_process_was_lost():
    assert missed(tally([0.010] * 842)) == []  # 1000 - 5 * sqrt(1000) = 841.9
    assert missed(tally([0.010] * 841)) == ["arrivals"]


def test_a_run_without_answers_meets_nothing():
    assert missed(Tally()) == [
        "arrivals",
        "p99 of answers",
        "errors",
        "degraded answers",
        "answers a second",
        "generator's lag, p99",
    ]


def test_a_run_that_was_stopped_early_is_held_to_the_time_it_had():
    found = judge(tally([0.010] * 300), SHAPE, Objective(), ran_s=3.0)

    assert found.met
    assert found.rows[0].limit == "about 300"


def test_the_table_says_what_failed_and_why():
    counted = tally([0.010] * 990, failures=Counter({NOT_SENT: 8, "HTTP 429 overloaded": 2}))
    counted.arrivals, counted.degraded = 1000, Counter({"fewer_lists": 3})

    text = "\n".join(table(judge(counted, SHAPE, Objective(), ran_s=10.0)))

    assert "failed, not sent because every place was taken: 8" in text
    assert "failed, HTTP 429 overloaded: 2" in text
    assert "degraded by fewer_lists: 3" in text
    assert "errors                       1.000%   at most 0.100%       MISSED" in text
    assert text.endswith("OBJECTIVE MISSED")


def test_a_run_is_over_when_every_process_has_said_its_last(tmp_path, capsys):
    referee = Referee(SHAPE, Objective(), timeout_s=1.0, processes=2)
    parts = [tally([0.010] * 500).to_wire(), tally([0.020] * 500).to_wire()]

    over = []
    for part in parts:
        referee.add(part, last=True)
        over.append(referee.over)

    assert over == [False, True]

    referee.say(str(tmp_path / "new" / "verdict.json"))
    written = json.loads((tmp_path / "new" / "verdict.json").read_text())
    assert written["arrivals"] == 1000
    assert written["latency_ms"]["p99"] == pytest.approx(20.0, rel=BUCKET)
    assert "latency from the moment a request was due" in capsys.readouterr().out
