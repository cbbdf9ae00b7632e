"""What is measured of running contenders: rounds beside each other, latency, stages, sizes."""

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
from loadtest.stage_latency import measure_sequentially as ask_alone

BodyFactory = Callable[[int, int, WireForm], list[bytes]]  # N, K and form -> bodies
_WARM_S = 1.0


@dataclass(frozen=True, slots=True)
class ClosedLoopResult:
    """One closed run of one contender; microseconds are CPU time a request."""

    name: str
    form: WireForm
    throughput: float
    cpu_us: float
    graph_us: float | None
    failed: int
    degraded: int
    client_cpu_us: float

    @property
    def service_us(self) -> float:
        """CPU time a request outside ONNX Runtime; NaN where that is not counted."""
        return self.cpu_us - self.graph_us if self.graph_us is not None else float("nan")


@dataclass(frozen=True, slots=True)
class OpenLoopResult:
    """Windows of one open run at one rate; milliseconds, one value a window.

    kept_waiting, stolen: percent of a window in which the process was ready and did not run, for
    another process or thread here, and for another machine on the same host.
    stood: longest time in a window, in milliseconds, that the load did not run and was due to.
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
    """One N and K."""

    candidates: int
    lists: int
    throughput: float
    half_load: OpenLoopResult
    stages: dict[str, float]


def measure_closed_loop(
    service: MeasuredService, load: LoadLoops, form: WireForm, seconds: float, connections: int
) -> ClosedLoopResult:
    """Throughput and CPU time of one contender."""
    graph, cpu = service.graph_cpu_s(), service.cpu_s()
    heard = load.run_closed(seconds, connections)
    cpu = service.cpu_s() - cpu
    graph_after = service.graph_cpu_s()
    count = max(heard.answers + heard.failed, 1)
    return ClosedLoopResult(
        service.name,
        form,
        heard.throughput,
        cpu / count * 1e6,
        None if graph is None or graph_after is None else (graph_after - graph) / count * 1e6,
        heard.failed,
        heard.degraded,
        heard.client_cpu_s / count * 1e6,
    )


def measure_rounds(
    services: Sequence[MeasuredService],
    bodies: BodyFactory,
    settings: BenchSettings,
    rng: random.Random,
) -> list[list[ClosedLoopResult]]:
    """Every contender in both forms, interleaved; what the machine does meets all of them."""
    found = []
    with contextlib.ExitStack() as stack:
        turns = [
            (
                c,
                stack.enter_context(
                    LoadLoops(c.port, bodies(DEFAULT_CANDIDATES, DEFAULT_LISTS, form))
                ),
                form,
            )
            for c in services
            for form in WIRE_FORMS
        ]
        for _, callers, _ in turns:
            callers.run_closed(min(_WARM_S, settings.closed_s), settings.connections)
        for _ in range(settings.rounds):
            order = rng.sample(turns, len(turns))
            found.append(
                [
                    measure_closed_loop(*turn, settings.closed_s, settings.connections)
                    for turn in order
                ]
            )
    return found


def measure_open_loop(
    service: MeasuredService,
    bodies: list[bytes],
    rate: float,
    seconds: float,
    windows: int,
    rng: random.Random,
) -> OpenLoopResult:
    """Latency at Poisson arrivals of this rate."""
    heard, kept_waiting, stolen = [], [], []
    with LoadLoops(service.port, bodies) as callers:
        for _ in range(windows):
            before = service.run_queue_wait_s(), service.steal_s()
            heard.append(callers.run_open(seconds, rate, rng))
            kept_waiting.append((service.run_queue_wait_s() - before[0]) / seconds * 100)
            stolen.append((service.steal_s() - before[1]) / seconds * 100)
    return OpenLoopResult(
        rate,
        [percentile_ms(part.latencies, 50.0) for part in heard],
        [percentile_ms(part.latencies, 99.0) for part in heard],
        [percentile_ms(part.latencies, 99.9) for part in heard],
        [percentile_ms(part.send_lags, 99.0) for part in heard],
        kept_waiting,
        stolen,
        [part.longest_stall_s * 1e3 for part in heard],
        sum(part.answers for part in heard),
        sum(part.failed for part in heard),
        sum(part.degraded for part in heard),
    )


def max_throughput(service: MeasuredService, bodies: list[bytes], settings: BenchSettings) -> float:
    """Requests a second that this contender answers, the median of some runs after a first."""
    with LoadLoops(service.port, bodies) as callers:
        callers.run_closed(min(_WARM_S, settings.closed_s), settings.connections)
        rates = [
            callers.run_closed(settings.closed_s, settings.connections).throughput for _ in range(3)
        ]
    return max(statistics.median(rates), 1.0)


def median_stages(
    service: MeasuredService, bodies: Sequence[bytes], count: int
) -> dict[str, float]:
    """Median milliseconds of each stage, one request at a time; `seen` is the caller's."""
    requests = [json.loads(body) for body in bodies]
    address = f"http://127.0.0.1:{service.port}"
    answers = ask_alone(address, requests, count)[count // 10 :]
    found = {"seen": statistics.median(a["client_ms"] for a in answers)}
    for stage in answers[0]["timings_ms"]:
        found[stage] = statistics.median(a["timings_ms"][stage] for a in answers)
    return found


def measure_sizes(
    service: MeasuredService, bodies: BodyFactory, settings: BenchSettings, rng: random.Random
) -> list[SizeResult]:
    """The table over N and K, in the fast form."""
    found = []
    for candidates in settings.candidate_counts:
        for lists in settings.list_counts:
            own = bodies(candidates, lists, "columns")
            with LoadLoops(service.port, own) as callers:
                callers.run_closed(settings.size_closed_s / 4, settings.connections)
                most = callers.run_closed(settings.size_closed_s, settings.connections)
            half = measure_open_loop(
                service, own, max(most.throughput / 2, 1.0), settings.size_open_s, 1, rng
            )
            by_stage = median_stages(service, own, max(settings.sequential_requests // 4, 10))
            found.append(SizeResult(candidates, lists, most.throughput, half, by_stage))
    return found


def percentile_ms(seconds: Sequence[float], percent: float) -> float:
    """Milliseconds, nearest rank; NaN of nothing."""
    if not seconds:
        return float("nan")
    ordered = sorted(seconds)
    rank = -int(-percent * len(ordered) // 100)  # rounded up
    return ordered[max(rank, 1) - 1] * 1e3
