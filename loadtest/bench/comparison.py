"""Compares the service with an earlier checkout and with mosec in the same interleaved rounds."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from loadtest.bench.bench_settings import DEFAULT_CANDIDATES, DEFAULT_LISTS, BenchSettings
from loadtest.bench.measured_services import RELIST, MeasuredService
from loadtest.bench.measurements import (
    BodyFactory,
    ClosedLoopResult,
    OpenLoopResult,
    max_throughput,
    measure_open_loop,
)
from loadtest.bench.request_bodies import WireForm

LOAD_SHARES = (0.5, 0.7)  # of a service's own maximum


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedLatency:
    """One window of open arrivals on one service at a share of its own maximum."""

    name: str
    form: WireForm
    load_share: float
    result: OpenLoopResult

    @property
    def p99_ms(self) -> float:
        """99th percentile of the window."""
        return self.result.p99[0]


@dataclass(slots=True, kw_only=True)
class Comparison:
    """Closed loops and windows of open arrivals, each a list by round."""

    rounds: list[list[ClosedLoopResult]] = field(default_factory=list)
    latencies: list[list[ComparedLatency]] = field(default_factory=list)

    def throughputs(self, name: str, form: WireForm, connections: int) -> list[float]:
        """Requests/s of a service, one value per round."""
        wanted = (name, form, connections)
        return [
            run.throughput
            for runs in self.rounds
            for run in runs
            if (run.name, run.form, run.connections) == wanted
        ]

    def p99s_ms(self, name: str, form: WireForm, load_share: float) -> list[float]:
        """99th percentile of a service, one value per round."""
        wanted = (name, form, load_share)
        return [
            window.p99_ms
            for windows in self.latencies
            for window in windows
            if (window.name, window.form, window.load_share) == wanted
        ]


def other_names(measured: Iterable[ClosedLoopResult | ComparedLatency]) -> list[str]:
    """The services that the service is compared with."""
    return sorted({one.name for one in measured} - {RELIST})


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Our value over theirs in each round."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def compare_latencies(
    services: Sequence[MeasuredService],
    bodies: BodyFactory,
    settings: BenchSettings,
    rng: random.Random,
    forms: Sequence[WireForm],
) -> list[list[ComparedLatency]]:
    """Windows of open arrivals on running services, in another order each round."""
    sent = {form: bodies(DEFAULT_CANDIDATES, DEFAULT_LISTS, form) for form in forms}
    maxima = {
        (service.name, form): max_throughput(service, sent[form], settings)
        for service in services
        for form in forms
    }

    def measure(service: MeasuredService, form: WireForm, share: float) -> ComparedLatency:
        rate, seconds = maxima[service.name, form] * share, settings.compared_open_s
        result = measure_open_loop(service, sent[form], rate, seconds, 1, rng)
        return ComparedLatency(name=service.name, form=form, load_share=share, result=result)

    cells = [(s, form, share) for s in services for form in forms for share in LOAD_SHARES]
    return [
        [measure(*cell) for cell in rng.sample(cells, len(cells))] for _ in range(settings.rounds)
    ]
