"""Measurements of running services: interleaved rounds, latency, stages, sizes."""

from __future__ import annotations

import contextlib
import json
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from loadtest.bench.bench_settings import DEFAULT_CANDIDATES, DEFAULT_LISTS, BenchSettings
from loadtest.bench.load_loops import LoadLoops
from loadtest.bench.measured_services import MeasuredService
from loadtest.bench.request_bodies import WIRE_FORMS, WireForm
from loadtest.stage_latency import measure_sequentially

BodyFactory = Callable[[int, int, WireForm], list[bytes]]  # N, K and form -> bodies
_WARM_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedLoopResult:
    """One closed loop on one service; microseconds are CPU time per request.

    throughput: requests per second.
    graph_us: inside ONNX Runtime; None where the service does not count it.
    """

    name: str
    form: WireForm
    connections: int
    throughput: float
    cpu_us: float
    graph_us: float | None
    failed: int
    degraded: int
    client_cpu_us: float

    @property
    def service_us(self) -> float:
        """CPU time per request outside ONNX Runtime; NaN where that is not counted."""
        return self.cpu_us - self.graph_us if self.graph_us is not None else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLoopResult:
    """Windows of open arrivals at one rate; milliseconds, one value per window.

    run_queue_wait, steal: percent of a window in which the process was ready and did not run,
        because of another process or thread, and because of another machine on the same host.
    longest_stall_ms: longest time in a window in which the load was due to send and did not run.
    """

    rate: float
    p50: list[float]
    p99: list[float]
    p999: list[float]
    send_lag_p99: list[float]
    run_queue_wait: list[float]
    steal: list[float]
    longest_stall_ms: list[float]
    answers: int
    failed: int
    degraded: int


@dataclass(frozen=True, slots=True)
class SizeResult:
    """Result for one N and K."""

    candidates: int
    lists: int
    throughput: float
    half_load: OpenLoopResult
    stages: dict[str, float]


def measure_closed_loop(
    service: MeasuredService, load: LoadLoops, form: WireForm, seconds: float, connections: int
) -> ClosedLoopResult:
    """Throughput and CPU time of one service."""
    graph_before, cpu_before = service.graph_cpu_s(), service.cpu_s()
    result = load.run_closed(seconds, connections)
    cpu = service.cpu_s() - cpu_before
    graph_after = service.graph_cpu_s()
    count = max(result.answers + result.failed, 1)
    graph_us = None
    if graph_before is not None and graph_after is not None:
        graph_us = (graph_after - graph_before) / count * 1e6
    return ClosedLoopResult(
        name=service.name,
        form=form,
        connections=connections,
        throughput=result.throughput,
        cpu_us=cpu / count * 1e6,
        graph_us=graph_us,
        failed=result.failed,
        degraded=result.degraded,
        client_cpu_us=result.client_cpu_s / count * 1e6,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _LoadedService:
    """A service and the load on it in one wire form, with a number of connections."""

    service: MeasuredService
    load: LoadLoops
    form: WireForm
    connections: int

    def measure(self, seconds: float) -> ClosedLoopResult:
        return measure_closed_loop(self.service, self.load, self.form, seconds, self.connections)


def measure_rounds(
    services: Sequence[MeasuredService],
    bodies: BodyFactory,
    settings: BenchSettings,
    rng: random.Random,
    connection_counts: Sequence[int] = (),
    forms: Sequence[WireForm] = WIRE_FORMS,
) -> list[list[ClosedLoopResult]]:
    """Measure each service in each form, in another order each round.

    connection_counts: of the closed loops; `settings.connections` alone where empty.
    """
    counts = connection_counts or (settings.connections,)
    with contextlib.ExitStack() as stack:
        loaded = [
            _LoadedService(service=service, load=load, form=form, connections=count)
            for service in services
            for form in forms
            for load in [
                stack.enter_context(
                    LoadLoops(service.port, bodies(DEFAULT_CANDIDATES, DEFAULT_LISTS, form))
                )
            ]
            for count in counts
        ]
        for one in loaded:
            one.load.run_closed(min(_WARM_S, settings.closed_s), one.connections)
        return [
            [one.measure(settings.closed_s) for one in rng.sample(loaded, len(loaded))]
            for _ in range(settings.rounds)
        ]


def measure_open_loop(
    service: MeasuredService,
    bodies: list[bytes],
    rate: float,
    seconds: float,
    windows: int,
    rng: random.Random,
) -> OpenLoopResult:
    """Latency at Poisson arrivals of this rate."""
    results, run_queue_wait, steal = [], [], []
    with LoadLoops(service.port, bodies) as load:
        for _ in range(windows):
            before = service.run_queue_wait_s(), service.steal_s()
            results.append(load.run_open(seconds, rate, rng))
            run_queue_wait.append((service.run_queue_wait_s() - before[0]) / seconds * 100)
            steal.append((service.steal_s() - before[1]) / seconds * 100)
    return OpenLoopResult(
        rate=rate,
        p50=[percentile_ms(part.latencies, 50.0) for part in results],
        p99=[percentile_ms(part.latencies, 99.0) for part in results],
        p999=[percentile_ms(part.latencies, 99.9) for part in results],
        send_lag_p99=[percentile_ms(part.send_lags, 99.0) for part in results],
        run_queue_wait=run_queue_wait,
        steal=steal,
        longest_stall_ms=[part.longest_stall_s * 1e3 for part in results],
        answers=sum(part.answers for part in results),
        failed=sum(part.failed for part in results),
        degraded=sum(part.degraded for part in results),
    )


def max_throughput(service: MeasuredService, bodies: list[bytes], settings: BenchSettings) -> float:
    """Requests per second in a closed loop: the median of three runs after a warm-up."""
    with LoadLoops(service.port, bodies) as load:
        load.run_closed(min(_WARM_S, settings.closed_s), settings.connections)
        rates = [
            load.run_closed(settings.closed_s, settings.connections).throughput for _ in range(3)
        ]
    return max(statistics.median(rates), 1.0)


def median_stages(
    service: MeasuredService, bodies: Sequence[bytes], count: int
) -> dict[str, float]:
    """Median milliseconds of each stage, one request at a time; `seen` is the client's time."""
    requests = [json.loads(body) for body in bodies]
    address = f"http://127.0.0.1:{service.port}"
    answers = measure_sequentially(address, requests, count)[count // 10 :]
    found = {"seen": statistics.median(a["client_ms"] for a in answers)}
    for stage in answers[0]["timings_ms"]:
        found[stage] = statistics.median(a["timings_ms"][stage] for a in answers)
    return found


def measure_sizes(
    service: MeasuredService, bodies: BodyFactory, settings: BenchSettings, rng: random.Random
) -> list[SizeResult]:
    """Results over N and K, in the column form."""
    found = []
    for candidates in settings.candidate_counts:
        for lists in settings.list_counts:
            own = bodies(candidates, lists, "columns")
            with LoadLoops(service.port, own) as load:
                load.run_closed(settings.size_closed_s / 4, settings.connections)
                most = load.run_closed(settings.size_closed_s, settings.connections)
            half = measure_open_loop(
                service, own, max(most.throughput / 2, 1.0), settings.size_open_s, 1, rng
            )
            by_stage = median_stages(service, own, max(settings.sequential_requests // 4, 10))
            found.append(SizeResult(candidates, lists, most.throughput, half, by_stage))
    return found


def percentile_ms(seconds: Sequence[float], percent: float) -> float:
    """Percentile in milliseconds by nearest rank; NaN without values."""
    if not seconds:
        return float("nan")
    ordered = sorted(seconds)
    rank = -int(-percent * len(ordered) // 100)  # rounded up
    return ordered[max(rank, 1) - 1] * 1e3
