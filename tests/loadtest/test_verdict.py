"""Counts of several processes, added up and held against the objective."""

import json
import random
from collections import Counter

import numpy as np
import pytest

from loadtest.aggregator import ResultAggregator
from loadtest.latency_histogram import LatencyHistogram
from loadtest.load_shapes import LoadShape
from loadtest.run_counts import NOT_SENT, RunCounts
from loadtest.verdict import LoadObjective, assess_load_run, verdict_table

BUCKET = 0.0051  # half a bucket of 1 %
SHAPE = LoadShape(rate=100.0, duration_s=10.0)


def latencies(seed: int, count: int, scale: float) -> list[float]:
    rng = random.Random(seed)
    return [scale * rng.lognormvariate(0.0, 1.0) for _ in range(count)]


def make_counts(seconds: list[float], **changes) -> RunCounts:
    made = RunCounts(arrivals=len(seconds), answered_in_run=len(seconds))
    for s in seconds:
        made.latency.add(s)
        made.send_lag.add(0.0005)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_latency_histogram_merged_percentiles_match_all_answers():
    fast, slow = latencies(1, 9000, 0.004), latencies(2, 1000, 0.080)
    whole = LatencyHistogram()
    for part in (fast, slow):
        sent = LatencyHistogram()
        for s in part:
            sent.add(s)
        whole.merge(LatencyHistogram(json.loads(json.dumps(sent.bucket_counts()))))

    for percent in (50, 90, 99, 99.9):
        exact = np.percentile(fast + slow, percent, method="inverted_cdf")
        assert whole.percentile(percent) == pytest.approx(exact, rel=BUCKET)
    averaged = (np.percentile(fast, 99) + np.percentile(slow, 99)) / 2
    assert whole.percentile(99) != pytest.approx(averaged, rel=0.2)


def test_latency_histogram_accepts_zero_to_hours():
    held = LatencyHistogram()
    assert held.percentile(50) is None
    for seconds in (0.0, 1e-9, 3600.0):
        held.add(seconds)

    assert held.percentile(50) == pytest.approx(1e-6)
    assert held.percentile(100) == pytest.approx(3600.0, rel=BUCKET)


def test_run_counts_survive_message_round_trip():
    one = make_counts(
        [0.01, 0.02], failures=Counter({"timeout": 1}), degraded_reasons=Counter({"input_order": 2})
    )
    one.arrivals, one.degraded_answers = 3, 2
    other = make_counts([0.03], failures=Counter({"timeout": 2, NOT_SENT: 4}))
    other.arrivals = 7

    one.merge(RunCounts.from_message(json.loads(json.dumps(other.to_message()))))

    assert (one.arrivals, one.answers, one.failed, one.answered_in_run) == (10, 3, 7, 3)
    assert one.failures == {"timeout": 3, NOT_SENT: 4}
    assert one.degraded_reasons == {"input_order": 2}
    assert one.latency.percentile(100) == pytest.approx(0.03, rel=BUCKET)


def missed_checks(counted: RunCounts, **objective) -> list[str]:
    found = assess_load_run(counted, SHAPE, LoadObjective(**objective), duration_s=10.0)
    assert found.met == (not [r for r in found.checks if not r.met])
    return [row.name for row in found.checks if not row.met]


def test_assess_load_run_all_checks_pass():
    assert missed_checks(make_counts([0.010] * 1000)) == []


@pytest.mark.parametrize(
    ("changes", "objective", "expected"),
    [
        ({}, {"p99_ms": 9.0}, ["p99 of answers"]),
        ({"arrivals": 1002}, {}, ["errors"]),  # two of which nothing was ever heard
        ({"arrivals": 1002}, {"error_ratio": 0.002}, []),
        ({"degraded_answers": 11}, {}, ["degraded answers"]),
        ({"answered_in_run": 949}, {}, ["answers per second"]),
        ({"answered_in_run": 950}, {}, []),
        ({}, {"send_lag_ms": 0.4}, ["send lag, p99"]),
    ],
)
def test_assess_load_run_each_check_fails_alone(changes, objective, expected):
    assert missed_checks(make_counts([0.010] * 1000, **changes), **objective) == expected


def test_assess_load_run_too_few_arrivals_fails():
    assert missed_checks(make_counts([0.010] * 842)) == []  # 1000 - 5 * sqrt(1000) = 841.9
    assert missed_checks(make_counts([0.010] * 841)) == ["arrivals"]


def test_assess_load_run_without_answers_fails():
    assert missed_checks(RunCounts()) == [
        "arrivals",
        "p99 of answers",
        "errors",
        "degraded answers",
        "answers per second",
        "send lag, p99",
    ]


def test_assess_load_run_stopped_early_uses_elapsed_time():
    found = assess_load_run(make_counts([0.010] * 300), SHAPE, LoadObjective(), duration_s=3.0)

    assert found.met
    assert found.checks[0].limit == "about 300"


def test_verdict_table_names_failures_and_reasons():
    counted = make_counts([0.010] * 990, failures=Counter({NOT_SENT: 8, "HTTP 429 overloaded": 2}))
    counted.arrivals, counted.degraded_reasons = 1000, Counter({"fewer_lists": 3})

    text = "\n".join(
        verdict_table(assess_load_run(counted, SHAPE, LoadObjective(), duration_s=10.0))
    )

    assert "failed, not sent: too many requests in flight: 8" in text
    assert "failed, HTTP 429 overloaded: 2" in text
    assert "degraded by fewer_lists: 3" in text
    assert "errors                       1.000%   at most 0.100%       MISSED" in text
    assert text.endswith("OBJECTIVE MISSED")


def test_result_aggregator_finishes_after_all_last_reports(tmp_path, capsys):
    referee = ResultAggregator(SHAPE, LoadObjective(), timeout_s=1.0, processes=2)
    parts = [make_counts([0.010] * 500).to_message(), make_counts([0.020] * 500).to_message()]

    over = []
    for part in parts:
        referee.add(part, is_last=True)
        over.append(referee.finished)

    assert over == [False, True]

    referee.write_verdict(str(tmp_path / "new" / "verdict.json"))
    written = json.loads((tmp_path / "new" / "verdict.json").read_text())
    assert written["arrivals"] == 1000
    assert written["latency_ms"]["p99"] == pytest.approx(20.0, rel=BUCKET)
    assert "latency from the moment a request was due" in capsys.readouterr().out
