"""A whole stage of real processes: Redis, two workers of the service, and Prometheus scraping them.

For the tests of dashboards; as a program it plays a run of minutes and draws the pictures:

    python -m tests.docker.live_stack --run runs/movielens --minutes 4
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import redis

from docker.grafana.build_dashboards import DASHBOARD_DIR
from docker.grafana.draw_dashboards import draw_all_dashboards
from docker.grafana.prometheus_api import TimeRange
from model.contract.artifact.manifest import read_manifest
from model.contract.schema.declared import FieldKind, FieldScope
from model.contract.schema.item_table import ItemTable
from model.contract.store.user_stream import read_user_stream
from service.features.bulk_load import write_items_to_redis, write_users_to_redis
from service.features.embedded_redis import EmbeddedRedis
from service.inference.artifact_reader import resolve_folder
from tests.docker.traffic_simulator import RequestBody, TrafficSimulator
from tests.service.serving import Serving

ROOT = DASHBOARD_DIR.parents[2]
ALERT_RULES = ROOT / "docker" / "prometheus" / "alerts.yml"
WORKER_COUNT = 2


@dataclass(frozen=True, slots=True)
class ServedRun:
    """What is served and asked: an artifact, the users it knows, and their requests."""

    artifact: Path
    serving_bundle: Path
    bodies: Sequence[RequestBody]

    @classmethod
    def from_folders(cls, artifact: Path, handover: Path, most: int = 300) -> ServedRun:
        """A finished run's."""
        with (handover / "requests.jsonl").open(encoding="utf-8") as file:
            bodies = [
                json.loads(line)["request"] for line, _ in zip(file, range(most), strict=False)
            ]
        return cls(artifact, handover, bodies)

    @property
    def cap_field(self) -> str:
        """A field that rules may count."""
        fields = read_manifest(resolve_folder(self.artifact)).features.fields
        return next(
            f.name
            for f in fields
            if f.scope is FieldScope.ITEM and f.kind in (FieldKind.CATEGORICAL, FieldKind.MULTI)
        )


@dataclass(slots=True)
class LiveStack:
    """What plays."""

    serving: Serving
    traffic: TrafficSimulator
    prometheus: str
    artifacts: Path
    started: float

    def time_range(self, step: float, rate_interval: int) -> TimeRange:
        """From the beginning until now."""
        return TimeRange(self.started, time.time(), step, rate_interval)

    def change_artifact(self) -> None:
        """In every worker the same artifact once more, swapped; then a broken one, refused."""
        self.serving.process.send_signal(signal.SIGHUP)
        for _ in range(2 * WORKER_COUNT):  # each has a current and a candidate
            self.serving.wait_for("artifact_activated")
        link, good = self.artifacts / "current", (self.artifacts / "current").readlink()
        _point(link, self.artifacts / "nothing")
        self.serving.process.send_signal(signal.SIGHUP)
        for _ in range(WORKER_COUNT):
            self.serving.wait_for("artifact_rejected")
        _point(link, good)


@contextlib.contextmanager
def start_live_stack(run: ServedRun, scrape_s: float, **settings: object) -> Iterator[LiveStack]:
    """Everything up; ended, whatever happens."""
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedRedis(maxmemory_mb=128) as store,
        contextlib.ExitStack() as ends,
    ):
        place = Path(folder)
        refill = _filler(store, run)
        refill()
        (place / "current").symlink_to(resolve_folder(run.artifact))
        base = _free_ports(WORKER_COUNT)
        given = {
            "redis_url": store.url,
            "workers": WORKER_COUNT,
            "metrics_port": base,
            "items_refresh_s": 2.0,
            "canary_dir": run.artifact,
            "canary_share": 0.2,
            "canary_shadow": True,
        } | settings
        serving = ends.enter_context(Serving(place, **given))
        for _ in range(WORKER_COUNT):
            serving.ready()
        prometheus = ends.enter_context(_prometheus(place, base, scrape_s))
        callers = TrafficSimulator(
            url=serving.url,
            bodies=run.bodies,
            cap_field=run.cap_field,
            store=store,
            refill=refill,
            rng=random.Random(1),
        )
        yield LiveStack(serving, callers, prometheus, place, time.time())


async def run_scenario(stack: LiveStack, seconds: float, rate: float, crowd: int) -> None:
    """Usual callers all the time; meanwhile everything that goes wrong, once."""
    callers = stack.traffic
    limits = httpx.Limits(max_connections=200)
    async with (
        httpx.AsyncClient(timeout=10.0, limits=limits) as client,
        asyncio.TaskGroup() as all_,
    ):
        usual = all_.create_task(callers.send_open_loop(client, rate, seconds))

        async def slowly() -> None:
            await asyncio.sleep(seconds * 0.06)
            await callers.disconnect_early(client)

        await asyncio.sleep(seconds * 0.15)
        for _ in range(4):
            await callers.send_unseen_list_sizes(client)
            await callers.send_invalid(client)
            await callers.send_tiny_budgets(client)
            await asyncio.sleep(seconds * 0.04)
        await callers.send_overload(client, crowd)
        await asyncio.sleep(seconds * 0.06)
        await callers.run_store_outage(slowly)
        await asyncio.sleep(seconds * 0.06)
        await callers.send_overload(client, crowd)
        await asyncio.to_thread(stack.change_artifact)
        await usual


def _filler(store: EmbeddedRedis, run: ServedRun) -> Callable[[], None]:
    """Puts users and items where the service reads them."""
    schema_hash = read_manifest(resolve_folder(run.artifact)).schema_hash
    items = ItemTable.read(run.serving_bundle / "items.npz")

    def refill() -> None:
        with redis.Redis.from_url(store.url) as client:
            users = read_user_stream(run.serving_bundle / "users.bin")
            write_users_to_redis(client, users, prefix="relist", ttl_s=None, on_progress=_silent)
            write_items_to_redis(
                client, items, prefix="relist", schema_hash=schema_hash, on_progress=_silent
            )

    return refill


def _silent(done: int) -> None:
    """Nobody watches."""


@contextlib.contextmanager
def _prometheus(folder: Path, base: int, scrape_s: float) -> Iterator[str]:
    """A real one, with the committed rules."""
    targets = ", ".join(f'"127.0.0.1:{base + index}"' for index in range(WORKER_COUNT))
    every = f"{round(scrape_s * 1e3)}ms"
    (folder / "prometheus.yml").write_text(
        f"global: {{scrape_interval: {every}, scrape_timeout: {every}, evaluation_interval: 1s}}\n"
        f"rule_files: ['{ALERT_RULES}']\n"
        f"scrape_configs: [{{job_name: relist, static_configs: [{{targets: [{targets}]}}]}}]\n"
    )
    port = _free_ports(1)
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield _once_scraped(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(timeout=20.0)


def _once_scraped(url: str, seconds: float = 30.0) -> str:
    """The address, once every worker was scraped: what happens before has no rate."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(httpx.TransportError):
            asked = httpx.get(f"{url}/api/v1/query", params={"query": "count(up == 1)"})
            found = asked.json()["data"]["result"] if asked.status_code == 200 else []
            if found and found[0]["value"][1] == str(WORKER_COUNT):
                return url
        time.sleep(0.05)
    raise AssertionError("Prometheus did not scrape every worker")


def _free_ports(count: int) -> int:
    """The first of some ports in a row that nobody listens on."""
    while True:
        with contextlib.ExitStack() as held, contextlib.suppress(OSError, OverflowError):
            first = held.enter_context(socket.create_server(("127.0.0.1", 0)))
            base = int(first.getsockname()[1])
            for port in range(base + 1, base + count):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
            return base


def _point(link: Path, target: Path) -> None:
    part = link.with_name("link")
    part.symlink_to(target)
    part.replace(link)


def main(argv: Sequence[str] | None = None) -> None:
    """Play a run of minutes and draw the dashboards from it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="folder of a finished run")
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--rate", type=float, default=40.0, help="requests per second")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures")
    given = parser.parse_args(argv)
    run = ServedRun.from_folders(given.run / "artifact", given.run / "generator")
    # Budgets as in docker/.env: callers, service, Redis and Prometheus share one machine.
    settings = {"request_budget_ms": 200, "feature_budget_ms": 50}
    with start_live_stack(run, scrape_s=2.0, max_inflight=4, max_waiting=12, **settings) as on:
        seconds = given.minutes * 60
        asyncio.run(run_scenario(on, seconds, given.rate, crowd=200))
        draw_all_dashboards(
            on.prometheus, on.time_range(seconds / 180, rate_interval=15), given.out
        )


if __name__ == "__main__":
    main()
