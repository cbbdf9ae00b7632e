import pytest

from service.rerank.latency_model import LatencyModel, LatencySample

MODEL = LatencyModel((0.001, 0.00001, 0.0002, 0.000002))  # seconds


def test_fit_recovers_the_weights_of_its_samples():
    runs = [
        LatencySample(n, k, 0.001 + 0.00001 * n + 0.0002 * k + 0.000002 * n * k)
        for n in (12, 100)
        for k in (1, 8, 32)
    ]

    model = LatencyModel.fit(runs)

    assert model.predict(300, 16) == pytest.approx(0.001 + 0.003 + 0.0032 + 0.0096, rel=1e-6)


def test_fit_has_no_negative_weight():
    runs = [LatencySample(n, k, 0.002 - 0.00001 * k) for n in (12, 100) for k in (1, 8, 32)]

    assert min(LatencyModel.fit(runs).weights) >= 0


def test_max_lists_shrinks_with_the_time_left():
    one, plenty = MODEL.predict(100, 1) * 1.5, MODEL.predict(100, 4) * 1.5 + 1e-9

    def planned(left_s: float) -> int:
        return LatencyModel(MODEL.weights).max_lists(candidates=100, requested=8, left_s=left_s)

    assert [planned(left) for left in (1.0, one + 1e-9, one - 1e-6, plenty)] == [8, 1, 0, 4]


def test_slowdown_factor_follows_runs_and_decays_when_refused():
    model = LatencyModel(MODEL.weights)
    for _ in range(200):
        model.observe(LatencySample(100, 8, MODEL.predict(100, 8) * 10))
    assert model.slowdown_factor == pytest.approx(10, rel=0.01)

    left_s = MODEL.predict(100, 1) * 2  # enough for the fitted latency only
    refused = 0
    while model.max_lists(candidates=100, requested=8, left_s=left_s) == 0:
        refused += 1
        assert refused < 200

    assert refused > 10


def test_terminated_run_never_lowers_the_slowdown_factor():
    model = LatencyModel(MODEL.weights)

    model.observe_terminated(
        LatencySample(100, 8, MODEL.predict(100, 8) / 10)
    )  # its client disconnected
    assert model.slowdown_factor == 1.0
    model.observe_terminated(LatencySample(100, 8, MODEL.predict(100, 8) * 3))
    assert model.slowdown_factor == pytest.approx(1 + 0.05 * (3 - 1))


def test_slow_warmup_does_not_refuse_lists_forever():
    model = LatencyModel(
        (1.0, 0.0, 0.0, 0.0)
    )  # measured on a busy machine; the real latency is 10 ms

    planned = [model.max_lists(candidates=100, requested=8, left_s=0.2) for _ in range(100)]
    assert planned[0] == 0
    assert planned[-1] == 8

    for _ in range(100):  # observed runs keep the factor low
        model.observe(LatencySample(100, 8, 0.01))
    assert model.predict(100, 8) == pytest.approx(
        0.05, rel=0.1
    )  # the smallest factor is a twentieth
