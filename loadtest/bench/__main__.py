"""`make bench`: the service beside a plain reference, written into docs/benchmarks/serving.md.

Linux, two cores: one for the measured process, one for the load and Redis. About ten minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
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
from loadtest.bench.large_item_table import export_large_artifact
from loadtest.bench.machine import (
    child_affinity,
    first_two_cores,
    machine_description,
    process_memory_mb,
)
from loadtest.bench.measured_services import (
    MeasuredService,
    MultiWorkerService,
    relist_service,
    start_reference,
)
from loadtest.bench.request_bodies import WIRE_FORMS, WireForm, build_bodies, read_logged_requests
from loadtest.bench.worker_scaling import measure_scaling, pin_workers
from loadtest.stage_latency import UnexpectedStatus
from model.contract.store.user_stream import read_user_stream
from service.features.bulk_load import write_users_to_redis
from service.features.embedded_redis import EmbeddedRedis
from service.features.redis_clients import open_sync_redis_client
from service.inference.artifact_reader import resolve_folder

BENCH_PARTS = ("rounds", "latency", "sizes", "workers", "memory")


@dataclass(frozen=True, slots=True)
class BenchContext:
    """What is served and asked, and where."""

    artifact: Path
    redis_url: str
    bodies: measurements.BodyFactory
    cores: tuple[int, int]
    settings: BenchSettings
    rng: random.Random


@contextlib.contextmanager
def prepare_bench(
    artifact: Path, serving_bundle: Path, settings: BenchSettings
) -> Iterator[BenchContext]:
    """A Redis that holds the run's users, on the core of the load."""
    logged = read_logged_requests(serving_bundle / "requests.jsonl")
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
        stack.enter_context(child_affinity({cores[1]}))  # this process is the load
        yield BenchContext(
            resolve_folder(artifact),
            redis.url,
            bodies,
            cores,
            settings,
            random.Random(settings.rounds),
        )


def run_throughput(stage: BenchContext, results: BenchResults) -> None:
    """Throughput and CPU time beside the reference."""
    served = {stage.cores[0]}
    contenders = [
        relist_service(stage.artifact, stage.redis_url, served),
        relist_service(stage.artifact, stage.redis_url, served, "relist, worker thread"),
        start_reference(stage.artifact, stage.redis_url, served),
        start_reference(stage.artifact, stage.redis_url, served, threads=1),
    ]
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(contender) for contender in contenders]
        results.rounds = measurements.measure_rounds(
            started, stage.bodies, stage.settings, stage.rng
        )


def run_latency(stage: BenchContext, results: BenchResults) -> None:
    """Open arrivals at shares of the contender's own maximum, and the stages alone."""
    plan = stage.settings
    with relist_service(stage.artifact, stage.redis_url, {stage.cores[0]}) as contender:
        for form in WIRE_FORMS:
            own = stage.bodies(DEFAULT_CANDIDATES, DEFAULT_LISTS, form)
            most = measurements.max_throughput(contender, own, plan)
            at = (contender, own)
            results.half_load[form] = measurements.measure_open_loop(
                *at, most / 2, plan.half_load_s, plan.windows, stage.rng
            )
            results.high_load[form] = measurements.measure_open_loop(
                *at, most * 0.7, plan.high_load_s, plan.windows, stage.rng
            )
            results.stages[form] = measurements.median_stages(
                contender, own, plan.sequential_requests
            )


def run_sizes(stage: BenchContext, results: BenchResults) -> None:
    """The table over N and K."""
    with relist_service(stage.artifact, stage.redis_url, {stage.cores[0]}) as contender:
        results.sizes = measurements.measure_sizes(
            contender, stage.bodies, stage.settings, stage.rng
        )


def run_workers(stage: BenchContext, results: BenchResults) -> None:
    """Two processes on two cores."""
    with (
        relist_service(stage.artifact, stage.redis_url, {stage.cores[0]}) as one,
        MultiWorkerService(stage.artifact, stage.redis_url, stage.cores, 2) as two,
    ):
        pin_workers(two, stage.cores)
        own = stage.bodies(DEFAULT_CANDIDATES, DEFAULT_LISTS, "columns")
        results.scaling = measure_scaling(one, two, own, stage.settings, stage.rng)


def run_memory(stage: BenchContext, results: BenchResults) -> None:
    """Resident memory with a large item table, of one process and of each of two."""
    plan = stage.settings
    with tempfile.TemporaryDirectory(prefix="relist-bench-") as folder:
        artifact = export_large_artifact(Path(folder), plan.item_count, plan.field_count)
        handover = Path(folder) / "handover"
        logged = read_logged_requests(handover / "requests.jsonl")
        bodies = build_bodies(
            logged, candidates=DEFAULT_CANDIDATES, lists=DEFAULT_LISTS, form="columns"
        )
        many: list[MeasuredService] = [
            relist_service(artifact, stage.redis_url, {stage.cores[0]}, "one process"),
            MultiWorkerService(artifact, stage.redis_url, stage.cores, 2),
        ]
        for contender in many:
            with contender:
                measurements.max_throughput(contender, bodies, plan)
                results.memory[contender.name] = [process_memory_mb(pid) for pid in contender.pids]


def main(argv: list[str] | None = None) -> int:
    """Run the parts asked for; 0 when all of them ran."""
    given = _parser().parse_args(argv)
    plan = QUICK_BENCH if given.quick else FULL_BENCH
    results = BenchResults(machine_description())
    steps = {
        "rounds": run_throughput,
        "latency": run_latency,
        "sizes": run_sizes,
        "workers": run_workers,
        "memory": run_memory,
    }
    try:
        with prepare_bench(given.artifact, given.serving_bundle, plan) as stage:
            for part in given.parts:
                sys.stderr.write(f"{part} ..\n")
                steps[part](stage, results)
    except (OSError, RuntimeError, UnexpectedStatus) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    results.run_info["load after"] = machine_description()["load"]
    quick = " BENCH=--quick" if given.quick else ""
    results.run_info["command"] = f"make bench{quick} PARTS='{' '.join(given.parts)}'"
    results.run_info["items"] = f"{plan.item_count:,} items of {plan.field_count} fields"
    text = render_bench_report(results)
    sys.stdout.write(text)
    if given.json is not None:
        given.json.write_text(json.dumps(asdict(results), indent=1), encoding="utf-8")
    if given.write is not None:
        replace_marked_section(given.write, text)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench", description=__doc__)
    parser.add_argument("--artifact", type=Path, required=True, help="of a finished run, M = 10")
    parser.add_argument("--handover", type=Path, required=True, help="users.bin, requests.jsonl")
    parser.add_argument("--parts", nargs="+", choices=BENCH_PARTS, default=list(BENCH_PARTS))
    parser.add_argument("--quick", action="store_true", help="seconds, for tests: says nothing")
    parser.add_argument("--json", type=Path, help="every number that was measured")
    parser.add_argument("--write", type=Path, help="a Markdown page, between its marks")
    return parser


if __name__ == "__main__":
    sys.exit(main())
