"""Machines and cost of a request rate, from measured numbers: the tables of the capacity page.

    python docker/capacity.py              update the tables of docs/explanation/capacity.md
    python docker/capacity.py --rate 5000  print one rate; more options with --help

The numbers are in capacity.toml: measurements with their source, and assumptions (prices, users,
headroom). This script measures nothing.
"""

from __future__ import annotations

import argparse
import math
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

HERE = Path(__file__).parent
CAPACITY_TOML = HERE / "capacity.toml"
CAPACITY_PAGE = HERE.parent / "docs" / "explanation" / "capacity.md"
TABLES_BEGIN, TABLES_END = "<!-- written by capacity.py -->", "<!-- end -->"
TABLE_RATES = (1_000, 10_000, 100_000, 1_000_000)
_HOURS_A_MONTH = 730
_BITS = 8


@dataclass(frozen=True, slots=True)
class MeasuredCosts:
    """Costs of one request on the machine that capacity.toml names."""

    service_cpu_ms: float
    service_memory_mib: float
    redis_cpu_us: float
    redis_bytes_per_user: float
    user_bytes: float
    request_bytes: float
    response_bytes: float


@dataclass(frozen=True, slots=True)
class CapacityAssumptions:
    """Assumptions of a deployment: load, headroom, machines and prices."""

    users: float
    core_utilization: float
    redis_core_utilization: float
    redis_memory_utilization: float
    redis_shard_gib: float
    redis_copies: int
    zones: int
    node_cores: int
    node_cores_reserved: int
    connections_per_pod_and_shard: int
    core_hour_price: float
    redis_gib_hour_price: float
    cross_zone_gib_price: float
    cross_zone_share: float


@dataclass(frozen=True, slots=True)
class CapacityEstimate:
    """Resources and cost of a request rate."""

    requests_per_second: int
    pods: int
    nodes: int
    memory_gib: float
    shards_by_memory: int
    shards_by_rate: int
    redis_servers: int
    connections_per_shard: int
    gbit_in: float
    gbit_out: float
    gbit_redis: float
    cost_per_hour: float

    @property
    def shards(self) -> int:
        """Redis shards, as many as memory and rate both allow."""
        return max(self.shards_by_memory, self.shards_by_rate)

    @property
    def cost_per_million_requests(self) -> float:
        """Price of a million requests."""
        return self.cost_per_hour / (self.requests_per_second * 3600) * 1e6


def estimate_capacity(
    rate: int, measured: MeasuredCosts, assumed: CapacityAssumptions
) -> CapacityEstimate:
    """The formulas of the capacity page."""
    busy_cores = rate * measured.service_cpu_ms / 1e3
    # one core per pod; the other zones carry the load of a failed one
    spare = assumed.zones / (assumed.zones - 1)
    pods = math.ceil(busy_cores / assumed.core_utilization * spare)
    nodes = math.ceil(pods / (assumed.node_cores - assumed.node_cores_reserved))
    held_gib = assumed.users * measured.redis_bytes_per_user / 2**30
    by_memory = math.ceil(held_gib / (assumed.redis_shard_gib * assumed.redis_memory_utilization))
    by_rate = math.ceil(rate * measured.redis_cpu_us / 1e6 / assumed.redis_core_utilization)
    servers = max(by_memory, by_rate) * assumed.redis_copies
    moved = measured.request_bytes + measured.response_bytes + measured.user_bytes
    crossing_gib_hour = rate * moved * 3600 / 2**30 * assumed.cross_zone_share
    return CapacityEstimate(
        requests_per_second=rate,
        pods=pods,
        nodes=nodes,
        memory_gib=pods * measured.service_memory_mib / 1024,
        shards_by_memory=by_memory,
        shards_by_rate=by_rate,
        redis_servers=servers,
        connections_per_shard=pods * assumed.connections_per_pod_and_shard,
        gbit_in=rate * measured.request_bytes * _BITS / 1e9,
        gbit_out=rate * measured.response_bytes * _BITS / 1e9,
        gbit_redis=rate * measured.user_bytes * _BITS / 1e9,
        cost_per_hour=nodes * assumed.node_cores * assumed.core_hour_price
        + servers * assumed.redis_shard_gib * assumed.redis_gib_hour_price
        + crossing_gib_hour * assumed.cross_zone_gib_price,
    )


def read_capacity_inputs(path: Path = CAPACITY_TOML) -> tuple[MeasuredCosts, CapacityAssumptions]:
    """Both tables of capacity.toml; a missing or unknown name is an error."""
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    return MeasuredCosts(**tables["measured"]), CapacityAssumptions(**tables["assumed"])


def capacity_table(estimates: Sequence[CapacityEstimate]) -> Iterator[str]:
    """Markdown table with one column per rate."""
    rows: tuple[tuple[str, list[str]], ...] = (
        ("pods of one core", [f"{n.pods:,}" for n in estimates]),
        ("nodes for them", [f"{n.nodes:,}" for n in estimates]),
        ("memory of the pods, GiB", [f"{n.memory_gib:,.0f}" for n in estimates]),
        ("Redis shards by memory", [f"{n.shards_by_memory:,}" for n in estimates]),
        ("Redis shards by request rate", [f"{n.shards_by_rate:,}" for n in estimates]),
        ("Redis servers, copies included", [f"{n.redis_servers:,}" for n in estimates]),
        ("connections to each shard", [f"{n.connections_per_shard:,}" for n in estimates]),
        ("requests in, Gbit/s", [f"{n.gbit_in:,.3g}" for n in estimates]),
        ("answers out, Gbit/s", [f"{n.gbit_out:,.3g}" for n in estimates]),
        ("Redis to the pods, Gbit/s", [f"{n.gbit_redis:,.3g}" for n in estimates]),
        ("cost per hour", [f"{n.cost_per_hour:,.2f}" for n in estimates]),
        ("cost per month", [f"{n.cost_per_hour * _HOURS_A_MONTH:,.0f}" for n in estimates]),
        ("cost per million requests", [f"{n.cost_per_million_requests:,.3f}" for n in estimates]),
    )
    yield (
        "| requests per second | "
        + " | ".join(f"{n.requests_per_second:,}" for n in estimates)
        + " |"
    )
    yield "|---|" + "---|" * len(estimates)
    for name, cells in rows:
        yield f"| {name} | " + " | ".join(cells) + " |"


def input_table(measured: MeasuredCosts, assumed: CapacityAssumptions) -> Iterator[str]:
    """Markdown table of the inputs of the formulas."""
    yield "| measured | | assumed | |"
    yield "|---|---|---|---|"
    left = [(f.name, getattr(measured, f.name)) for f in fields(MeasuredCosts)]
    right = [(f.name, getattr(assumed, f.name)) for f in fields(CapacityAssumptions)]
    for at in range(max(len(left), len(right))):
        cells = []
        for side in (left, right):
            name, value = side[at] if at < len(side) else ("", "")
            cells += [f"`{name}`" if name else "", f"{value:,}" if name else ""]
        yield "| " + " | ".join(cells) + " |"


def replace_tables(page: str, measured: MeasuredCosts, assumed: CapacityAssumptions) -> str:
    """The page with its tables replaced."""
    head, _, rest = page.partition(TABLES_BEGIN)
    _, _, tail = rest.partition(TABLES_END)
    needs = [estimate_capacity(rate, measured, assumed) for rate in TABLE_RATES]
    body = "\n".join([*input_table(measured, assumed), "", *capacity_table(needs)])
    return f"{head}{TABLES_BEGIN}\n{body}\n{TABLES_END}{tail}"


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    measured, assumed = read_capacity_inputs()
    parser.add_argument("--rate", type=int, action="append", help="requests per second; repeatable")
    for field in fields(CapacityAssumptions):
        value = getattr(assumed, field.name)
        option = "--" + field.name.replace("_", "-")
        parser.add_argument(option, type=type(value), default=value, help=f"default: {value:g}")
    given = vars(parser.parse_args(argv))
    rates = given.pop("rate")
    if rates:
        chosen = replace(assumed, **given)
        for line in capacity_table([estimate_capacity(rate, measured, chosen) for rate in rates]):
            sys.stdout.write(line + "\n")
    else:
        CAPACITY_PAGE.write_text(
            replace_tables(CAPACITY_PAGE.read_text(), measured, assumed), encoding="utf-8"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
