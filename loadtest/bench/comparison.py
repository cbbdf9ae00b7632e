"""Compare the service with an earlier checkout and with mosec in the same interleaved rounds."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from loadtest.bench.bench_settings import DEFAULT_CANDIDATES, DEFAULT_LISTS, BenchSettings
from loadtest.bench.measured_services import RELIST, MeasuredService
from loadtest.bench.measurements import (
    BodyFactory,
    ClosedLoopResult,
    OpenLoopResult,
    max_throughput,
    measure_open_loop,
    measure_rounds,
)
from loadtest.bench.request_bodies import WIRE_FORMS, WireForm

LOAD_SHARES = (0.5, 0.7)  # of a service's own maximum


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedLatency:
    """Open arrivals on one service at a share of its own maximum."""

    name: str
    form: WireForm
    load_share: float
    result: OpenLoopResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Closed loops by round, and latencies."""

    rounds: list[list[ClosedLoopResult]]
    latencies: list[ComparedLatency]

    def other_names(self) -> list[str]:
        """The services that the service is compared with."""
        return sorted({run.name for run in self.rounds[0]} - {RELIST})

    def throughput_ratios(self, other: str, form: WireForm, connections: int) -> list[float]:
        """Requests/s of the service over the other's, one value a round."""

        def throughput(runs: Sequence[ClosedLoopResult], name: str) -> float:
            wanted = (name, form, connections)
            [run] = [r for r in runs if (r.name, r.form, r.connections) == wanted]
            return run.throughput

        return [throughput(runs, RELIST) / throughput(runs, other) for runs in self.rounds]

    def p99_ms(self, name: str, form: WireForm, load_share: float) -> float:
        """Median over the windows."""
        wanted = (name, form, load_share)
        [found] = [x for x in self.latencies if (x.name, x.form, x.load_share) == wanted]
        return statistics.median(found.result.p99)


def compare_services(
    services: Sequence[MeasuredService],
    bodies: BodyFactory,
    settings: BenchSettings,
    rng: random.Random,
) -> Comparison:
    """Measure running services, one of them the service itself."""
    rounds = measure_rounds(services, bodies, settings, rng, settings.compared_connections)
    latencies = []
    for form in WIRE_FORMS:
        sent = bodies(DEFAULT_CANDIDATES, DEFAULT_LISTS, form)
        maxima = {service.name: max_throughput(service, sent, settings) for service in services}
        for share in LOAD_SHARES:
            seconds = settings.half_load_s if share == LOAD_SHARES[0] else settings.high_load_s
            latencies += [
                ComparedLatency(
                    name=service.name,
                    form=form,
                    load_share=share,
                    result=measure_open_loop(
                        service, sent, maxima[service.name] * share, seconds, settings.windows, rng
                    ),
                )
                for service in rng.sample(list(services), len(services))
            ]
    return Comparison(rounds=rounds, latencies=latencies)
