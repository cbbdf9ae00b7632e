"""`relist load`: fills the feature store from the serving bundle.

Streams users.bin into Redis, and with --items replaces the item table. Serves nothing.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, NamedTuple, TextIO

from pydantic import ValidationError
from redis.exceptions import RedisError
from typer import Argument, Exit, Option, echo

from model.contract.artifact.manifest import read_manifest
from model.contract.errors import ContractError, ManifestError, UserRecordError
from model.contract.schema.item_table import ItemTable
from model.contract.store.user_stream import read_user_stream, read_user_stream_header
from service.features.bulk_load import write_items_to_redis, write_users_to_redis
from service.features.redis_address import parse_redis_url
from service.features.redis_clients import open_sync_redis_client
from service.settings import MEMORY, Settings

USERS_FILE = "users.bin"
EXIT_INVALID_INPUT, EXIT_REDIS_UNREACHABLE = 1, 3  # 2 is for a wrong command line
_REDRAW_INTERVAL_S = 0.2


class ProgressMeter:
    """Progress line on standard error; without a terminal only the final one."""

    def __init__(self, unit: str, total: int, out: TextIO) -> None:
        self._unit, self._total, self._out = unit, total, out
        self._is_terminal = out.isatty()
        self._started_at = self._last_drawn_at = time.monotonic()

    def __call__(self, done: int) -> None:
        """Show count, rate and time left, a few times per second at most."""
        now = time.monotonic()
        if self._is_terminal and (
            now - self._last_drawn_at > _REDRAW_INTERVAL_S or done == self._total
        ):
            self._last_drawn_at = now
            self._out.write("\r" + self._line(done, now))
            self._out.flush()

    def finish(self, done: int) -> None:
        """Print the final line."""
        end = "\r" if self._is_terminal else ""
        self._out.write(f"{end}{self._line(done, time.monotonic())}\n")

    def _line(self, done: int, now: float) -> str:
        rate = done / max(now - self._started_at, 1e-9)
        left = (self._total - done) / max(rate, 1e-9)
        share = f"{done:,} of {self._total:,} {self._unit}"
        return f"{share}  {rate:,.0f}/s  {left:,.0f} s left".ljust(60)


def load(
    users: Annotated[Path, Argument(help="File users.bin, or the folder that holds it.")],
    items: Annotated[
        Path | None, Option(help="File items.npz: also switch to this item table.")
    ] = None,
    artifact: Annotated[
        Path | None, Option(help="Refuse files of another schema than this artifact.")
    ] = None,
    redis_url: Annotated[str | None, Option(help="Default: RERANK_REDIS_URL.")] = None,
    *,
    cluster: Annotated[
        bool | None,
        Option(help="The address is any node of a Redis Cluster. Default: RERANK_REDIS_CLUSTER."),
    ] = None,
    prefix: Annotated[
        str | None, Option(help="Of all keys. Default: RERANK_REDIS_PREFIX, or relist.")
    ] = None,
    ttl_s: Annotated[
        int | None, Option(min=1, help="Seconds until users expire. Default: never.")
    ] = None,
) -> None:
    """Write users.bin, and with --items an item table, into Redis.

    Exit status: 0 when written, 1 for files or settings that cannot be used, 3 when Redis cannot be
    used.
    """
    address = "Redis"
    try:
        target = _resolve_target(RedisOptions(redis_url, prefix, cluster), artifact)
        address = parse_redis_url(target.url).display_url  # raises RedisUrlError, a ValueError
        _write(StoreFiles(users, items, artifact), target, ttl_s, sys.stderr)
    except (RedisError, OSError) as error:
        echo(f"relist load: {address} cannot be used: {error}", err=True)
        raise Exit(EXIT_REDIS_UNREACHABLE) from error
    except (ContractError, ValueError) as error:
        echo(f"relist load: {error}", err=True)
        raise Exit(EXIT_INVALID_INPUT) from error


class StoreFiles(NamedTuple):
    """Files to write; their schema must be that of `artifact`."""

    users: Path
    items: Path | None
    artifact: Path | None


class RedisOptions(NamedTuple):
    """Options of the command line; None selects the service's setting."""

    url: str | None
    prefix: str | None
    cluster: bool | None


class RedisTarget(NamedTuple):
    """The store to fill; for a `cluster` the URL is that of any node."""

    url: str
    prefix: str
    cluster: bool


def _write(files: StoreFiles, target: RedisTarget, ttl_s: int | None, out: TextIO) -> None:
    """Check the files before anything is written, then write."""
    path = files.users / USERS_FILE if files.users.is_dir() else files.users
    if not path.is_file():
        raise UserRecordError(
            reason=f"{path}: no such file (give users.bin or the folder it lies in)"
        )
    head = read_user_stream_header(path)
    if files.artifact is not None:
        expected = read_manifest(files.artifact.resolve()).schema_hash
        if head.schema_hash != expected:
            raise ManifestError(
                artifact=str(files.artifact),
                reason=f"its schema is {expected}, that of {path} is {head.schema_hash}",
            )
    table = None if files.items is None else ItemTable.read(files.items)
    prefix = target.prefix
    with open_sync_redis_client(target.url, cluster=target.cluster) as client:
        client.ping()
        meter = ProgressMeter("users", head.user_count, out)
        users = read_user_stream(path)
        meter.finish(
            write_users_to_redis(client, users, prefix=prefix, ttl_s=ttl_s, on_progress=meter)
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


def _resolve_target(options: RedisOptions, artifact: Path | None) -> RedisTarget:
    """The target from the command line, else from the RERANK_ settings."""
    if options.url is not None and options.prefix is not None and options.cluster is not None:
        return RedisTarget(options.url, options.prefix, options.cluster)
    try:
        settings = Settings(artifact_dir=artifact or Path())
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"settings: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    url = options.url or settings.redis_url.get_secret_value()
    if url == MEMORY:
        raise ValueError("no Redis to fill: give --redis-url, or set RERANK_REDIS_URL")
    cluster = settings.redis_cluster if options.cluster is None else options.cluster
    return RedisTarget(url, options.prefix or settings.redis_prefix, cluster)
