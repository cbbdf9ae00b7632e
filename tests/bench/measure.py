"""What is measured of running contenders: rounds beside each other, latency, stages, sizes."""

from __future__ import annotations

import contextlib
import json
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from loadtest.latency import measure as ask_alone
from tests.bench.bodies import FORMS, Form
from tests.bench.callers import Callers
from tests.bench.contenders import Contender
from tests.bench.plan import CANDIDATES, LISTS, Plan

Bodies = Callable[[int, int, Form], list[bytes]]  # N, K and form -> bodies
_WARM_S = 1.0


@dataclass(frozen=True, slots=True)
class Closed:
    """One closed run of one contender; microseconds are CPU time a request."""

    name: str
    form: Form
    rate: float
    cpu_us: float
    graph_us: float | None
    failed: int
    degraded: int
    generator_us: float

    @property
    def service_us(self) -> float:
        """CPU time a request outside ONNX Runtime; NaN where that is not counted."""
        return self.cpu_us - self.graph_us if self.graph_us is not None else float("nan")


@dataclass(frozen=True, slots=True)
class Open:
    """Windows of one open run at one rate; milliseconds, one value a window.

    kept_waiting, stolen: percent of a window in which the process was ready and did not run, for
    another process or thread here, and for another machine on the same host.
    stood: longest time in a window, in milliseconds, that the load did not run and was due to.
    """

    rate: float
    p50: list[float]
    p99: list[float]
    p999: list[float]
    lag_p99: list[float]
    kept_waiting: list[float]
    stolen: list[float]
    stood: list[float]
    answers: int
    failed: int
    degraded: int


@dataclass(frozen=True, slots=True)
class Cell:
    """One N and K."""

    candidates: int
    lists: int
    rate: float
    half: Open
    stages: dict[str, float]


def closed(
    contender: Contender, callers: Callers, form: Form, seconds: float, connections: int
) -> Closed:
    """Throughput and CPU time of one contender."""
    graph, cpu = contender.graph_cpu_s(), contender.cpu_s()
    heard = callers.closed(seconds, connections)
    cpu = contender.cpu_s() - cpu
    graph_after = contender.graph_cpu_s()
    count = max(heard.answers + heard.failed, 1)
    return Closed(
        contender.name,
        form,
        heard.rate,
        cpu / count * 1e6,
        None if graph is None or graph_after is None else (graph_after - graph) / count * 1e6,
        heard.failed,
        heard.degraded,
        heard.own_cpu_s / count * 1e6,
    )


def rounds(
    contenders: Sequence[Contender], bodies: Bodies, plan: Plan, rng: random.Random
) -> list[list[Closed]]:
    """Every contender in both forms, interleaved; what the machine does meets all of them."""
    found = []
    with contextlib.ExitStack() as stack:
        turns = [
            (c, stack.enter_context(Callers(c.port, bodies(CANDIDATES, LISTS, form))), form)
            for c in contenders
            for form in FORMS
        ]
        for _, callers, _ in turns:
            callers.closed(min(_WARM_S, plan.closed_s), plan.connections)
        for _ in range(plan.rounds):
            order = rng.sample(turns, len(turns))
            found.append([closed(*turn, plan.closed_s, plan.connections) for turn in order])
    return found


def opened(
    contender: Contender,
    bodies: list[bytes],
    rate: float,
    seconds: float,
    windows: int,
    rng: random.Random,
) -> Open:
    """Latency at Poisson arrivals of this rate."""
    heard, kept_waiting, stolen = [], [], []
    with Callers(contender.port, bodies) as callers:
        for _ in range(windows):
            before = contender.kept_waiting_s(), contender.stolen_s()
            heard.append(callers.open(seconds, rate, rng))
            kept_waiting.append((contender.kept_waiting_s() - before[0]) / seconds * 100)
            stolen.append((contender.stolen_s() - before[1]) / seconds * 100)
    return Open(
        rate,
        [percentile(part.latencies, 50.0) for part in heard],
        [percentile(part.latencies, 99.0) for part in heard],
        [percentile(part.latencies, 99.9) for part in heard],
        [percentile(part.lags, 99.0) for part in heard],
        kept_waiting,
        stolen,
        [part.stood * 1e3 for part in heard],
        sum(part.answers for part in heard),
        sum(part.failed for part in heard),
        sum(part.degraded for part in heard),
    )


def most(contender: Contender, bodies: list[bytes], plan: Plan) -> float:
    """Requests a second that this contender answers, the median of some runs after a first."""
    with Callers(contender.port, bodies) as callers:
        callers.closed(min(_WARM_S, plan.closed_s), plan.connections)
        rates = [callers.closed(plan.closed_s, plan.connections).rate for _ in range(3)]
    return max(statistics.median(rates), 1.0)


def stages(contender: Contender, bodies: Sequence[bytes], count: int) -> dict[str, float]:
    """Median milliseconds of each stage, one request at a time; `seen` is the caller's."""
    requests = [json.loads(body) for body in bodies]
    address = f"http://127.0.0.1:{contender.port}"
    answers = ask_alone(address, requests, count)[count // 10 :]
    found = {"seen": statistics.median(a["seen_ms"] for a in answers)}
    for stage in answers[0]["timings_ms"]:
        found[stage] = statistics.median(a["timings_ms"][stage] for a in answers)
    return found


def cells(contender: Contender, bodies: Bodies, plan: Plan, rng: random.Random) -> list[Cell]:
    """The table over N and K, in the fast form."""
    found = []
    for candidates in plan.sizes:
        for lists in plan.lists:
            own = bodies(candidates, lists, "columns")
            with Callers(contender.port, own) as callers:
                callers.closed(plan.cell_closed_s / 4, plan.connections)
                most = callers.closed(plan.cell_closed_s, plan.connections)
            half = opened(contender, own, max(most.rate / 2, 1.0), plan.cell_open_s, 1, rng)
            by_stage = stages(contender, own, max(plan.alone // 4, 10))
            found.append(Cell(candidates, lists, most.rate, half, by_stage))
    return found


def percentile(seconds: Sequence[float], percent: float) -> float:
    """Milliseconds, nearest rank; NaN of nothing."""
    if not seconds:
        return float("nan")
    ordered = sorted(seconds)
    rank = -int(-percent * len(ordered) // 100)  # rounded up
    return ordered[max(rank, 1) - 1] * 1e3
