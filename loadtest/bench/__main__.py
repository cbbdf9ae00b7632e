"""`make bench`: measures the service beside other services; writes docs/benchmarks/serving.md.

Needs Linux and two cores: one for the measured process, one for the load and Redis. Takes about
fifteen minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from loadtest.bench import measurements
from loadtest.bench.bench_report import render_bench_report, replace_marked_section
from loadtest.bench.bench_results import BenchResults
from loadtest.bench.bench_settings import (
    DEFAULT_CANDIDATES,
    DEFAULT_LISTS,
    FULL_BENCH,
    QUICK_BENCH,
    BenchSettings,
)
from loadtest.bench.comparison import compare_latencies
from loadtest.bench.large_item_table import LARGE_BUNDLE, export_large_artifact
from loadtest.bench.machine import (
    child_affinity,
    first_two_cores,
    machine_description,
    process_memory_mb,
)
from loadtest.bench.measured_services import (
    EarlierTree,
    MeasuredService,
    MultiWorkerService,
    earlier_service,
    relist_service,
    start_mosec,
    start_reference,
)
from loadtest.bench.request_bodies import WIRE_FORMS, WireForm, build_bodies, read_bench_requests
from loadtest.bench.worker_scaling import measure_scaling, pin_workers
from loadtest.stage_latency import UnexpectedStatus
from model.contract.store.user_stream import read_user_stream
from service.features.bulk_load import write_users_to_redis
from service.features.embedded_redis import EmbeddedRedis
from service.features.redis_clients import open_sync_redis_client
from service.inference.artifact_reader import resolve_folder


@dataclass(frozen=True, slots=True)
class BenchContext:
    """Shared inputs of all measurements.

    earlier: another checkout to compare the service with; None for none.
    forms: wire forms of the comparison's bodies.
    """

    artifact: Path
    redis_url: str
    bodies: measurements.BodyFactory
    cores: tuple[int, int]
    settings: BenchSettings
    rng: random.Random
    earlier: EarlierTree | None
    forms: tuple[WireForm, ...]


@contextlib.contextmanager
def prepare_bench(
    artifact: Path,
    serving_bundle: Path,
    settings: BenchSettings,
    earlier: EarlierTree | None = None,
    forms: tuple[WireForm, ...] = WIRE_FORMS,
) -> Iterator[BenchContext]:
    """Context with a Redis that holds the run's users, pinned to the core of the load."""
    logged = read_bench_requests(serving_bundle / "requests.jsonl")
    cores = first_two_cores()

    @cache
    def bodies(candidates: int, lists: int, form: WireForm) -> list[bytes]:
        return build_bodies(logged, candidates=candidates, lists=lists, form=form)

    with contextlib.ExitStack() as stack:
        with child_affinity({cores[1]}):
            redis = stack.enter_context(EmbeddedRedis())
        with open_sync_redis_client(redis.url, cluster=False) as client:
            users = read_user_stream(serving_bundle / "users.bin")
            write_users_to_redis(
                client, users, prefix="relist", ttl_s=None, on_progress=lambda _: None
            )
        stack.enter_context(child_affinity({cores[1]}))  # this process generates the load
        yield BenchContext(
            resolve_folder(artifact),
            redis.url,
            bodies,
            cores,
            settings,
            random.Random(settings.rounds),
            earlier,
            forms,
        )


def run_throughput(context: BenchContext, results: BenchResults) -> None:
    """Throughput and CPU time beside the plain references and mosec."""
    where = context.artifact, context.redis_url, {context.cores[0]}
    services = [
        relist_service(*where),
        start_mosec(*where),
        start_reference(*where),
        start_reference(*where, threads=1),
    ]
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(service) for service in services]
        results.rounds = measurements.measure_rounds(
            started, context.bodies, context.settings, context.rng
        )


@contextlib.contextmanager
def compared_services(context: BenchContext) -> Iterator[list[MeasuredService]]:
    """The service, mosec and, if one is named, the service of an earlier checkout."""
    where = context.artifact, context.redis_url, {context.cores[0]}
    services = [relist_service(*where, counts_graph_time=False), start_mosec(*where)]
    if context.earlier is not None:
        services.append(earlier_service(*where[1:], context.earlier))
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(service) for service in services]


def run_compared_throughput(context: BenchContext, results: BenchResults) -> None:
    """Requests/s as ratios to the compared services."""
    settings = context.settings
    with compared_services(context) as services:
        results.comparison.rounds = measurements.measure_rounds(
            services,
            context.bodies,
            settings,
            context.rng,
            settings.compared_connections,
            context.forms,
        )


def run_compared_latency(context: BenchContext, results: BenchResults) -> None:
    """99th percentiles as ratios to the compared services."""
    with compared_services(context) as services:
        results.comparison.latencies = compare_latencies(
            services, context.bodies, context.settings, context.rng, context.forms
        )


def run_latency(context: BenchContext, results: BenchResults) -> None:
    """Open arrivals at shares of the service's own maximum, and stage times of single requests."""
    settings = context.settings
    with relist_service(context.artifact, context.redis_url, {context.cores[0]}) as service:
        for form in WIRE_FORMS:
            sent = context.bodies(DEFAULT_CANDIDATES, DEFAULT_LISTS, form)
            maximum = measurements.max_throughput(service, sent, settings)
            results.half_load[form] = measurements.measure_open_loop(
                service, sent, maximum / 2, settings.half_load_s, settings.windows, context.rng
            )
            results.high_load[form] = measurements.measure_open_loop(
                service, sent, maximum * 0.7, settings.high_load_s, settings.windows, context.rng
            )
            results.stages[form] = measurements.median_stages(
                service, sent, settings.sequential_requests
            )


def run_sizes(context: BenchContext, results: BenchResults) -> None:
    """The table over N and K."""
    with relist_service(context.artifact, context.redis_url, {context.cores[0]}) as service:
        results.sizes = measurements.measure_sizes(
            service, context.bodies, context.settings, context.rng
        )


def run_workers(context: BenchContext, results: BenchResults) -> None:
    """Throughput of two processes on two cores."""
    with (
        relist_service(context.artifact, context.redis_url, {context.cores[0]}) as single,
        MultiWorkerService(context.artifact, context.redis_url, context.cores, 2) as workers,
    ):
        pin_workers(workers, context.cores)
        sent = context.bodies(DEFAULT_CANDIDATES, DEFAULT_LISTS, "columns")
        results.scaling = measure_scaling(single, workers, sent, context.settings, context.rng)


def run_memory(context: BenchContext, results: BenchResults) -> None:
    """Resident memory with a large item table, of one process and of each of two."""
    settings = context.settings
    with tempfile.TemporaryDirectory(prefix="relist-bench-") as folder:
        artifact = export_large_artifact(Path(folder), settings.item_count, settings.field_count)
        logged = read_bench_requests(Path(folder) / LARGE_BUNDLE / "requests.jsonl")
        bodies = build_bodies(
            logged, candidates=DEFAULT_CANDIDATES, lists=DEFAULT_LISTS, form="columns"
        )
        services: list[MeasuredService] = [
            relist_service(artifact, context.redis_url, {context.cores[0]}, "one process"),
            MultiWorkerService(artifact, context.redis_url, context.cores, 2),
        ]
        for service in services:
            with service:
                measurements.max_throughput(service, bodies, settings)
                results.memory[service.name] = [process_memory_mb(pid) for pid in service.pids]


BENCH_PARTS: dict[str, Callable[[BenchContext, BenchResults], None]] = {
    "rounds": run_throughput,
    "compared-throughput": run_compared_throughput,
    "compared-latency": run_compared_latency,
    "latency": run_latency,
    "sizes": run_sizes,
    "workers": run_workers,
    "memory": run_memory,
}


def main(argv: list[str] | None = None) -> int:
    """Run the chosen parts; 0 when all of them ran."""
    options = _parser().parse_args(argv)
    settings = QUICK_BENCH if options.quick else FULL_BENCH
    if options.window_s is not None:
        settings = replace(settings, closed_s=options.window_s, compared_open_s=options.window_s)
    earlier = None
    if options.before is not None:
        command = tuple(shlex.split(options.before_command))
        artifact = resolve_folder(options.before_artifact or options.artifact)
        earlier = EarlierTree(path=options.before.resolve(), command=command, artifact=artifact)
    results = BenchResults(machine_description())
    try:
        with prepare_bench(
            options.artifact, options.serving_bundle, settings, earlier, tuple(options.forms)
        ) as context:
            for part in options.parts:
                sys.stderr.write(f"{part} ..\n")
                BENCH_PARTS[part](context, results)
    except (OSError, RuntimeError, UnexpectedStatus) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    results.run_info["load after"] = machine_description()["load"]
    quick = " BENCH=--quick" if options.quick else ""
    results.run_info["command"] = f"make bench{quick} PARTS='{' '.join(options.parts)}'"
    results.run_info["items"] = f"{settings.item_count:,} items of {settings.field_count} fields"
    text = render_bench_report(results)
    sys.stdout.write(text)
    if options.json is not None:
        options.json.write_text(json.dumps(asdict(results), indent=1), encoding="utf-8")
    if options.write is not None:
        replace_marked_section(options.write, text)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench", description=__doc__)
    parser.add_argument("--artifact", type=Path, required=True, help="of a finished run, M = 10")
    parser.add_argument(
        "--serving-bundle", type=Path, required=True, help="users.bin, requests.jsonl"
    )
    parser.add_argument("--parts", nargs="+", choices=list(BENCH_PARTS), default=list(BENCH_PARTS))
    parser.add_argument(
        "--forms", nargs="+", choices=WIRE_FORMS, default=WIRE_FORMS, help="of the comparison"
    )
    parser.add_argument(
        "--before-artifact", type=Path, help="the same artifact in its format, where that differs"
    )
    parser.add_argument("--before", type=Path, help="another checkout, to compare with")
    parser.add_argument(
        "--before-command",
        default="-m service.cli.main serve",
        help="Python arguments that start its service",
    )
    parser.add_argument(
        "--window-s", type=float, help="seconds of a closed loop and of a window of the comparison"
    )
    parser.add_argument("--quick", action="store_true", help="seconds, for tests: says nothing")
    parser.add_argument("--json", type=Path, help="every number that was measured")
    parser.add_argument("--write", type=Path, help="a Markdown page, between its marks")
    return parser


if __name__ == "__main__":
    sys.exit(main())
