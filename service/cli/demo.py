"""`relist demo`: serves a trained run and prints one reranked list.

Training and export come before (`make demo`). Redis, loading and serving are separate processes,
started by the same commands that a user would run.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

from typer import Exit, Option, echo

from model.contract.artifact.manifest import ITEM_TABLE_FILE, read_manifest
from model.contract.errors import ManifestError
from model.contract.schema.item_table import ItemTable
from service.cli.demo_client import DemoServiceError, wait_for_demo_service
from service.cli.demo_report import DemoComparison, find_changed_request, format_comparison
from service.features.embedded_redis import EmbeddedRedis, EmbeddedRedisError

_REDIS_URL_VARIABLE = "RERANK_REDIS_URL"
_START_TIMEOUT_S = 60.0  # verification and warm-up take a few seconds on a slow core


class DemoError(Exception):
    """The demo cannot continue; the message names what is missing or failed."""


def demo_command(
    run: Annotated[Path, Option(help="Folder that `make demo` filled.")],
    port: Annotated[int, Option(help="Port of the service.")] = 8000,
    *,
    once: Annotated[bool, Option("--once", help="End after showing one answer.")] = False,
) -> None:
    """Start Redis and the service on a trained run and show one list before and after.

    Exit status: 0 after Ctrl-C or with --once, 1 when a part failed.
    """
    try:
        with _interrupt_on_sigterm():
            _run_demo(run, port, once=once)
    except (DemoError, EmbeddedRedisError, ManifestError, DemoServiceError) as error:
        echo(f"relist demo: {error}", err=True)
        raise Exit(1) from error
    except KeyboardInterrupt:
        echo("\nstopped")


def _run_demo(run: Path, port: int, *, once: bool) -> None:
    artifact, handover = run / "artifact" / "current", run / "generator"
    for needed in (artifact, handover / "users.bin", handover / "requests.jsonl"):
        if not needed.exists():
            raise DemoError(f"{needed} is missing: run `make demo` first")
    manifest = read_manifest(artifact)
    items = ItemTable.read(artifact / ITEM_TABLE_FILE)
    with _redis_url() as url:
        environ = {**os.environ, _REDIS_URL_VARIABLE: url}
        _load_users(handover / "users.bin", environ)
        environ |= {
            "RERANK_ARTIFACT_DIR": str(run / "artifact"),
            "RERANK_REQUESTS_FILE": str(handover / "requests.jsonl"),
            "RERANK_PORT": str(port),
            "RERANK_PLAYGROUND": "true",
            "RERANK_LOG_LEVEL": "warning",
            # the demo may run on a busy laptop
            "RERANK_REQUEST_BUDGET_MS": "500",
            "RERANK_FEATURE_BUDGET_MS": "100",
        }
        with _service_process(environ) as service:
            base = f"http://127.0.0.1:{port}"
            wait_for_demo_service(base, service, _START_TIMEOUT_S)
            shown = find_changed_request(base, handover / "requests.jsonl")
            _print_comparison(shown, items, manifest.artifact)
            sys.stdout.write(f"\nTry it: {base}/playground\n")
            sys.stdout.write(f"The service is up: {base}/docs  (Ctrl-C ends it)\n")
            sys.stdout.flush()
            if not once and service.wait() != 0:
                raise DemoError("the service ended by itself; its messages stand above")


def _print_comparison(shown: DemoComparison, items: ItemTable, artifact: str) -> None:
    titles = dict(zip(items.ids, items.display.get("title", items.ids), strict=True))
    for line in format_comparison(shown, titles, artifact):
        sys.stdout.write(line + "\n")


def _load_users(users: Path, environ: Mapping[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "service.cli.main", "load", str(users)],
        env=environ,
        check=False,
        timeout=300,
    )
    if done.returncode:
        raise DemoError("the users could not be loaded into Redis; its message stands above")


@contextlib.contextmanager
def _redis_url() -> Iterator[str]:
    """URL of the store: the caller's Redis if named, else an embedded one."""
    named = os.environ.get(_REDIS_URL_VARIABLE)
    if named:
        sys.stdout.write("Redis: yours\n")
        yield named
        return
    with EmbeddedRedis() as server:
        sys.stdout.write(f"Redis: embedded, at {server.url}\n")
        sys.stdout.flush()
        yield server.url


@contextlib.contextmanager
def _service_process(environ: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The service as a child process; it ends with the demo."""
    process = subprocess.Popen([sys.executable, "-m", "service.cli.main", "serve"], env=environ)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=15)
        if process.poll() is None:
            process.kill()
            process.wait()


@contextlib.contextmanager
def _interrupt_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end the demo as Ctrl-C does, children included."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
