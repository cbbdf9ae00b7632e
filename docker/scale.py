"""What a rate of requests takes, from measured numbers: the tables of SCALE.md.

    python docker/scale.py              write the tables of SCALE.md anew
    python docker/scale.py --rate 5000  print one rate; more options with --help

The numbers stand in scale.toml: what was measured, with its place, and what is assumed (prices,
users, headroom). Nothing here is measured by running.
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
NUMBERS, PAGE = HERE / "scale.toml", HERE / "SCALE.md"
BEGIN, END = "<!-- written by scale.py -->", "<!-- end -->"
RATES = (1_000, 10_000, 100_000, 1_000_000)
_HOURS_A_MONTH = 730
_BITS = 8


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one request, on the machine that scale.toml names."""

    service_cpu_ms: float
    service_memory_mib: float
    redis_cpu_us: float
    redis_bytes_a_user: float
    user_bytes: float
    request_bytes: float
    answer_bytes: float


@dataclass(frozen=True, slots=True)
class Assumed:
    """What a reader sets: load, headroom, machines and prices."""

    users: float
    core_use: float
    redis_core_use: float
    redis_memory_use: float
    redis_shard_gib: float
    redis_copies: int
    zones: int
    node_cores: int
    node_cores_kept: int
    connections_a_pod_and_shard: int
    core_hour: float
    redis_gib_hour: float
    gib_between_zones: float
    share_between_zones: float


@dataclass(frozen=True, slots=True)
class Need:
    """What a rate takes."""

    rate: int
    pods: int
    nodes: int
    memory_gib: float
    shards_by_memory: int
    shards_by_rate: int
    redis_servers: int
    connections_a_shard: int
    gbit_in: float
    gbit_out: float
    gbit_redis: float
    cost_hour: float

    @property
    def shards(self) -> int:
        """As many as memory and rate both allow."""
        return max(self.shards_by_memory, self.shards_by_rate)

    @property
    def cost_a_million(self) -> float:
        """Price of a million requests."""
        return self.cost_hour / (self.rate * 3600) * 1e6


def need(rate: int, measured: Measured, assumed: Assumed) -> Need:
    """The formulas of SCALE.md."""
    busy_cores = rate * measured.service_cpu_ms / 1e3
    # one core a pod; with one zone gone, the rest still carries all
    spare = assumed.zones / (assumed.zones - 1)
    pods = math.ceil(busy_cores / assumed.core_use * spare)
    nodes = math.ceil(pods / (assumed.node_cores - assumed.node_cores_kept))
    held_gib = assumed.users * measured.redis_bytes_a_user / 2**30
    by_memory = math.ceil(held_gib / (assumed.redis_shard_gib * assumed.redis_memory_use))
    by_rate = math.ceil(rate * measured.redis_cpu_us / 1e6 / assumed.redis_core_use)
    servers = max(by_memory, by_rate) * assumed.redis_copies
    moved = measured.request_bytes + measured.answer_bytes + measured.user_bytes
    crossing_gib_hour = rate * moved * 3600 / 2**30 * assumed.share_between_zones
    return Need(
        rate=rate,
        pods=pods,
        nodes=nodes,
        memory_gib=pods * measured.service_memory_mib / 1024,
        shards_by_memory=by_memory,
        shards_by_rate=by_rate,
        redis_servers=servers,
        connections_a_shard=pods * assumed.connections_a_pod_and_shard,
        gbit_in=rate * measured.request_bytes * _BITS / 1e9,
        gbit_out=rate * measured.answer_bytes * _BITS / 1e9,
        gbit_redis=rate * measured.user_bytes * _BITS / 1e9,
        cost_hour=nodes * assumed.node_cores * assumed.core_hour
        + servers * assumed.redis_shard_gib * assumed.redis_gib_hour
        + crossing_gib_hour * assumed.gib_between_zones,
    )


def read_numbers(path: Path = NUMBERS) -> tuple[Measured, Assumed]:
    """Both tables of scale.toml; a missing or unknown name is an error."""
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    return Measured(**tables["measured"]), Assumed(**tables["assumed"])


def lines(needs: Sequence[Need]) -> Iterator[str]:
    """The table, one column a rate."""
    rows: tuple[tuple[str, list[str]], ...] = (
        ("pods of one core", [f"{n.pods:,}" for n in needs]),
        ("nodes for them", [f"{n.nodes:,}" for n in needs]),
        ("memory of the pods, GiB", [f"{n.memory_gib:,.0f}" for n in needs]),
        ("Redis shards that memory asks for", [f"{n.shards_by_memory:,}" for n in needs]),
        ("Redis shards that the rate asks for", [f"{n.shards_by_rate:,}" for n in needs]),
        ("Redis servers, copies included", [f"{n.redis_servers:,}" for n in needs]),
        ("connections to each shard", [f"{n.connections_a_shard:,}" for n in needs]),
        ("requests in, Gbit/s", [f"{n.gbit_in:,.3g}" for n in needs]),
        ("answers out, Gbit/s", [f"{n.gbit_out:,.3g}" for n in needs]),
        ("Redis to the pods, Gbit/s", [f"{n.gbit_redis:,.3g}" for n in needs]),
        ("cost an hour", [f"{n.cost_hour:,.2f}" for n in needs]),
        ("cost a month", [f"{n.cost_hour * _HOURS_A_MONTH:,.0f}" for n in needs]),
        ("cost of a million requests", [f"{n.cost_a_million:,.3f}" for n in needs]),
    )
    yield "| requests a second | " + " | ".join(f"{n.rate:,}" for n in needs) + " |"
    yield "|---|" + "---|" * len(needs)
    for name, cells in rows:
        yield f"| {name} | " + " | ".join(cells) + " |"


def inputs(measured: Measured, assumed: Assumed) -> Iterator[str]:
    """The numbers that the formulas are given."""
    yield "| measured | | assumed | |"
    yield "|---|---|---|---|"
    left = [(f.name, getattr(measured, f.name)) for f in fields(Measured)]
    right = [(f.name, getattr(assumed, f.name)) for f in fields(Assumed)]
    for at in range(max(len(left), len(right))):
        cells = []
        for side in (left, right):
            name, value = side[at] if at < len(side) else ("", "")
            cells += [f"`{name}`" if name else "", f"{value:,}" if name else ""]
        yield "| " + " | ".join(cells) + " |"


def with_tables(page: str, measured: Measured, assumed: Assumed) -> str:
    """The page with its tables written anew."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    needs = [need(rate, measured, assumed) for rate in RATES]
    body = "\n".join([*inputs(measured, assumed), "", *lines(needs)])
    return f"{head}{BEGIN}\n{body}\n{END}{tail}"


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    measured, assumed = read_numbers()
    parser.add_argument("--rate", type=int, action="append", help="requests a second; repeatable")
    for field in fields(Assumed):
        value = getattr(assumed, field.name)
        option = "--" + field.name.replace("_", "-")
        parser.add_argument(option, type=type(value), default=value, help=f"default: {value:g}")
    given = vars(parser.parse_args(argv))
    rates = given.pop("rate")
    if rates:
        chosen = replace(assumed, **given)
        for line in lines([need(rate, measured, chosen) for rate in rates]):
            sys.stdout.write(line + "\n")
    else:
        PAGE.write_text(with_tables(PAGE.read_text(), measured, assumed), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
