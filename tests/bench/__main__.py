"""`make bench`: the service beside a plain reference on this machine, written into RESULTS.md.

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

from loadtest.latency import Refused
from model.contract.user_stream import read_users
from service.features.bulk_load import load_users
from service.features.connection import open_bulk_client
from service.features.embedded import EmbeddedRedis
from service.inference.artifact import resolve_folder
from tests.bench import measure
from tests.bench.bodies import FORMS, Form, make_bodies, read_logged
from tests.bench.contenders import Contender, Workers, ours, reference
from tests.bench.large_items import large_artifact
from tests.bench.machine import describe, memory_mb, started_on, two_cores
from tests.bench.pair import scaling, spread_out
from tests.bench.plan import CANDIDATES, FULL, LISTS, QUICK, Plan
from tests.bench.report import put_between_marks, render
from tests.bench.results import Results

PARTS = ("rounds", "latency", "sizes", "workers", "memory")


@dataclass(frozen=True, slots=True)
class Stage:
    """What is served and asked, and where."""

    artifact: Path
    redis_url: str
    bodies: measure.Bodies
    cores: tuple[int, int]
    plan: Plan
    rng: random.Random


@contextlib.contextmanager
def set_up(artifact: Path, handover: Path, plan: Plan) -> Iterator[Stage]:
    """A Redis that holds the run's users, on the core of the load."""
    logged = read_logged(handover / "requests.jsonl")
    cores = two_cores()

    @cache
    def bodies(candidates: int, lists: int, form: Form) -> list[bytes]:
        return make_bodies(logged, candidates=candidates, lists=lists, form=form)

    with contextlib.ExitStack() as stack:
        with started_on({cores[1]}):
            redis = stack.enter_context(EmbeddedRedis())
        with open_bulk_client(redis.url, cluster=False) as client:
            users = read_users(handover / "users.bin")
            load_users(client, users, prefix="relist", ttl_s=None, progress=lambda _: None)
        stack.enter_context(started_on({cores[1]}))  # this process is the load
        yield Stage(
            resolve_folder(artifact), redis.url, bodies, cores, plan, random.Random(plan.rounds)
        )


def run_rounds(stage: Stage, results: Results) -> None:
    """Throughput and CPU time beside the reference."""
    served = {stage.cores[0]}
    contenders = [
        ours(stage.artifact, stage.redis_url, served),
        ours(stage.artifact, stage.redis_url, served, "ours, thread", inference="thread"),
        reference(stage.artifact, stage.redis_url, served),
        reference(stage.artifact, stage.redis_url, served, threads=1),
    ]
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(contender) for contender in contenders]
        results.rounds = measure.rounds(started, stage.bodies, stage.plan, stage.rng)


def run_latency(stage: Stage, results: Results) -> None:
    """Open arrivals at shares of the contender's own maximum, and the stages alone."""
    plan = stage.plan
    with ours(stage.artifact, stage.redis_url, {stage.cores[0]}) as contender:
        for form in FORMS:
            own = stage.bodies(CANDIDATES, LISTS, form)
            most = measure.most(contender, own, plan)
            at = (contender, own)
            results.half[form] = measure.opened(*at, most / 2, plan.half_s, plan.windows, stage.rng)
            results.tail[form] = measure.opened(
                *at, most * 0.7, plan.tail_s, plan.windows, stage.rng
            )
            results.stages[form] = measure.stages(contender, own, plan.alone)


def run_sizes(stage: Stage, results: Results) -> None:
    """The table over N and K."""
    with ours(stage.artifact, stage.redis_url, {stage.cores[0]}) as contender:
        results.cells = measure.cells(contender, stage.bodies, stage.plan, stage.rng)


def run_workers(stage: Stage, results: Results) -> None:
    """Two processes on two cores."""
    with (
        ours(stage.artifact, stage.redis_url, {stage.cores[0]}) as one,
        Workers(stage.artifact, stage.redis_url, stage.cores, 2) as two,
    ):
        spread_out(two, stage.cores)
        own = stage.bodies(CANDIDATES, LISTS, "columns")
        results.scaling = scaling(one, two, own, stage.plan, stage.rng)


def run_memory(stage: Stage, results: Results) -> None:
    """Resident memory with a large item table, of one process and of each of two."""
    plan = stage.plan
    with tempfile.TemporaryDirectory(prefix="relist-bench-") as folder:
        artifact = large_artifact(Path(folder), plan.items, plan.fields)
        handover = Path(folder) / "handover"
        logged = read_logged(handover / "requests.jsonl")
        bodies = make_bodies(logged, candidates=CANDIDATES, lists=LISTS, form="columns")
        many: list[Contender] = [
            ours(artifact, stage.redis_url, {stage.cores[0]}, "one process"),
            Workers(artifact, stage.redis_url, stage.cores, 2),
        ]
        for contender in many:
            with contender:
                measure.most(contender, bodies, plan)
                results.memory[contender.name] = [memory_mb(pid) for pid in contender.pids]


def main(argv: list[str] | None = None) -> int:
    """Run the parts asked for; 0 when all of them ran."""
    given = _parser().parse_args(argv)
    plan = QUICK if given.quick else FULL
    results = Results(describe())
    steps = {
        "rounds": run_rounds,
        "latency": run_latency,
        "sizes": run_sizes,
        "workers": run_workers,
        "memory": run_memory,
    }
    try:
        with set_up(given.artifact, given.handover, plan) as stage:
            for part in given.parts:
                sys.stderr.write(f"{part} ..\n")
                steps[part](stage, results)
    except (OSError, RuntimeError, Refused) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    results.facts["load after"] = describe()["load"]
    quick = " BENCH=--quick" if given.quick else ""
    results.facts["command"] = f"make bench{quick} PARTS='{' '.join(given.parts)}'"
    results.facts["items"] = f"{plan.items:,} items of {plan.fields} fields"
    text = render(results)
    sys.stdout.write(text)
    if given.json is not None:
        given.json.write_text(json.dumps(asdict(results), indent=1), encoding="utf-8")
    if given.write is not None:
        put_between_marks(given.write, text)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--artifact", type=Path, required=True, help="of a finished run, M = 10")
    parser.add_argument("--handover", type=Path, required=True, help="users.bin, requests.jsonl")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--quick", action="store_true", help="seconds, for tests: says nothing")
    parser.add_argument("--json", type=Path, help="every number that was measured")
    parser.add_argument("--write", type=Path, help="RESULTS.md, between its marks")
    return parser


if __name__ == "__main__":
    sys.exit(main())
