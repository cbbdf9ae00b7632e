import pytest

from service.rerank.cost import CostLine, Observation

LINE = CostLine((0.001, 0.00001, 0.0002, 0.000002))  # seconds


def test_the_fit_gives_back_the_line_that_made_the_runs():
    runs = [
        Observation(n, k, 0.001 + 0.00001 * n + 0.0002 * k + 0.000002 * n * k)
        for n in (12, 100)
        for k in (1, 8, 32)
    ]

    line = CostLine.fit(runs)

    assert line.seconds(300, 16) == pytest.approx(0.001 + 0.003 + 0.0032 + 0.0096, rel=1e-6)


def test_no_slope_of_a_fit_is_negative_even_when_noise_says_so():
    runs = [Observation(n, k, 0.002 - 0.00001 * k) for n in (12, 100) for k in (1, 8, 32)]

    assert min(CostLine.fit(runs).weights) >= 0


def test_fewer_lists_are_planned_when_time_is_short_and_none_when_not_one_fits():
    one, plenty = LINE.seconds(100, 1) * 1.5, LINE.seconds(100, 4) * 1.5 + 1e-9

    def planned(left_s: float) -> int:
        return CostLine(LINE.weights).affordable(candidates=100, wanted=8, left_s=left_s)

    assert [planned(left) for left in (1.0, one + 1e-9, one - 1e-6, plenty)] == [8, 1, 0, 4]


def test_the_pace_follows_slow_runs_and_a_refused_run_lets_it_drift_back():
    line = CostLine(LINE.weights)
    for _ in range(200):
        line.observe(Observation(100, 8, LINE.seconds(100, 8) * 10))
    assert line.pace == pytest.approx(10, rel=0.01)

    left_s = LINE.seconds(100, 1) * 2  # enough at the warm-up's pace only
    refused = 0
    while line.affordable(candidates=100, wanted=8, left_s=left_s) == 0:
        refused += 1
        assert refused < 200

    assert refused > 10


def test_a_run_that_was_ended_early_does_not_make_runs_seem_fast():
    line = CostLine(LINE.weights)

    line.observe_ended(Observation(100, 8, LINE.seconds(100, 8) / 10))  # its caller left
    assert line.pace == 1.0
    line.observe_ended(Observation(100, 8, LINE.seconds(100, 8) * 3))
    assert line.pace == pytest.approx(1 + 0.05 * (3 - 1))


def test_a_warm_up_that_was_far_too_slow_does_not_refuse_for_ever():
    line = CostLine((1.0, 0.0, 0.0, 0.0))  # measured beside a busy neighbor; in truth 10 ms

    planned = [line.affordable(candidates=100, wanted=8, left_s=0.2) for _ in range(100)]
    assert planned[0] == 0
    assert planned[-1] == 8

    for _ in range(100):  # what was tried then keeps it where it belongs
        line.observe(Observation(100, 8, 0.01))
    assert line.seconds(100, 8) == pytest.approx(0.05, rel=0.1)  # a twentieth, the fastest pace
