"""`relist-load`: fills the feature store from the files that training wrote.

Streams users.bin into Redis, and with --items puts a new item table in place of the present one.
Serves nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

from pydantic import ValidationError
from redis.exceptions import RedisError

from model.contract.artifact.manifest import read_manifest
from model.contract.errors import ContractError, ManifestError, UserRecordError
from model.contract.schema.item_table import ItemTable
from model.contract.store.user_stream import read_user_stream, read_user_stream_header
from service.features.bulk_load import write_items_to_redis, write_users_to_redis
from service.features.redis_address import parse_redis_url
from service.features.redis_clients import open_sync_redis_client
from service.settings import MEMORY, Settings

USERS_FILE = "users.bin"
EXIT_OK, EXIT_INVALID_INPUT, EXIT_REDIS_UNREACHABLE = 0, 1, 2
_REDRAW_INTERVAL_S = 0.2


class ProgressMeter:
    """One line on standard error that says how far it is; a line of its own where nobody looks."""

    def __init__(self, unit: str, total: int, out: TextIO) -> None:
        self._unit, self._total, self._out = unit, total, out
        self._is_terminal = out.isatty()
        self._started_at = self._last_drawn_at = time.monotonic()

    def __call__(self, done: int) -> None:
        """Show the count, the rate and the time left; not more often than an eye can follow."""
        now = time.monotonic()
        if self._is_terminal and (
            now - self._last_drawn_at > _REDRAW_INTERVAL_S or done == self._total
        ):
            self._last_drawn_at = now
            self._out.write("\r" + self._line(done, now))
            self._out.flush()

    def finish(self, done: int) -> None:
        """The last word."""
        end = "\r" if self._is_terminal else ""
        self._out.write(f"{end}{self._line(done, time.monotonic())}\n")

    def _line(self, done: int, now: float) -> str:
        rate = done / max(now - self._started_at, 1e-9)
        left = (self._total - done) / max(rate, 1e-9)
        share = f"{done:,} of {self._total:,} {self._unit}"
        return f"{share}  {rate:,.0f}/s  {left:,.0f} s left".ljust(60)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = _parser().parse_args(arguments)
    address = "Redis"
    try:
        target = _resolve_target(options)
        address = parse_redis_url(target.url).display_url  # raises RedisUrlError, a ValueError
        _load(options, target, sys.stderr)
    except (RedisError, OSError) as error:
        sys.stderr.write(f"relist-load: {address} cannot be used: {error}\n")
        return EXIT_REDIS_UNREACHABLE
    except (ContractError, ValueError) as error:
        sys.stderr.write(f"relist-load: {error}\n")
        return EXIT_INVALID_INPUT
    return EXIT_OK


class RedisTarget(NamedTuple):
    """The store to fill; `cluster`: the url is that of any node of a Redis Cluster."""

    url: str
    prefix: str
    cluster: bool


def _load(options: argparse.Namespace, target: RedisTarget, out: TextIO) -> None:
    """Check the files before anything is written, then write."""
    path = options.users / USERS_FILE if options.users.is_dir() else options.users
    if not path.is_file():
        raise UserRecordError(
            reason=f"{path}: no such file (give users.bin or the folder it lies in)"
        )
    head = read_user_stream_header(path)
    if options.artifact is not None:
        expected = read_manifest(options.artifact.resolve()).schema_hash
        if head.schema_hash != expected:
            raise ManifestError(
                artifact=str(options.artifact),
                reason=f"its schema is {expected}, that of {path} is {head.schema_hash}",
            )
    table = None if options.items is None else ItemTable.read(options.items)
    prefix = target.prefix
    with open_sync_redis_client(target.url, cluster=target.cluster) as client:
        client.ping()
        meter = ProgressMeter("users", head.user_count, out)
        users = read_user_stream(path)
        meter.finish(
            write_users_to_redis(
                client, users, prefix=prefix, ttl_s=options.ttl_s, on_progress=meter
            )
        )
        if table is not None:
            meter = ProgressMeter("items", len(table.ids), out)
            version = write_items_to_redis(
                client, table, prefix=prefix, schema_hash=head.schema_hash, on_progress=meter
            )
            if version is None:
                out.write("items: this table serves already\n")
            else:
                meter.finish(len(table.ids))


def _resolve_target(options: argparse.Namespace) -> RedisTarget:
    """From the command line, else from the RERANK_ settings."""
    if None not in (options.redis_url, options.prefix, options.cluster):
        return RedisTarget(options.redis_url, options.prefix, options.cluster)
    try:
        settings = Settings(artifact_dir=options.artifact or Path())
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"settings: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    url = options.redis_url or settings.redis_url.get_secret_value()
    if url == MEMORY:
        raise ValueError("no Redis to fill: give --redis-url, or set RERANK_REDIS_URL")
    cluster = settings.redis_cluster if options.cluster is None else options.cluster
    return RedisTarget(url, options.prefix or settings.redis_prefix, cluster)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="relist-load", description=__doc__)
    parser.add_argument("users", type=Path, help="users.bin, or the folder it lies in")
    parser.add_argument("--items", type=Path, help="items.npz: also switch to this item table")
    parser.add_argument("--artifact", type=Path, help="refuse files of another schema than this")
    parser.add_argument("--redis-url", help="default: RERANK_REDIS_URL")
    parser.add_argument(
        "--cluster",
        action=argparse.BooleanOptionalAction,
        help="the address is any node of a Redis Cluster; default: RERANK_REDIS_CLUSTER",
    )
    parser.add_argument("--prefix", help="of all keys; default: RERANK_REDIS_PREFIX or relist")
    parser.add_argument(
        "--ttl-s", type=_positive_int, help="users expire after this; default: never"
    )
    return parser


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("takes a number of seconds above 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
