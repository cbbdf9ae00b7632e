"""`relist-serve`: reads settings, binds the address, runs one process or several."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from service.main.process import serve
from service.main.supervisor import supervise
from service.settings import PREFIX, Settings
from service.telemetry import structured_logs
from service.telemetry.tracing import TracingNotInstalledError, require_otel_extra

_BACKLOG = 2048


def main(argv: Sequence[str] | None = None) -> int:
    """Run until told to stop; 0 after an orderly end, 1 for a failed start, 2 for settings."""
    arguments = _parser().parse_args(argv)
    try:
        settings = Settings.from_environment(os.environ)
        require_otel_extra(settings.otel_endpoint)
    except ValidationError as error:
        for line in error.errors(include_url=False):
            name = PREFIX + str(line["loc"][0]).upper() + ": " if line["loc"] else ""
            _complain(f"{name}{line['msg']}")
        return 2
    except (ValueError, TracingNotInstalledError) as error:
        _complain(str(error))
        return 2
    structured_logs.configure_logging(settings.log_level)
    if arguments.worker is not None:
        return serve(settings, socket.socket(fileno=arguments.fd), arguments.worker)
    try:
        listening = bind(settings.host, settings.port)
    except OSError as error:
        _complain(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}")
        return 1
    if settings.workers > 1:
        return supervise(settings, listening)
    return serve(settings, listening, 0)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    listening.setblocking(False)
    return listening


def _parser() -> argparse.ArgumentParser:
    lines = []
    for name, field in Settings.model_fields.items():
        default = "required" if field.is_required() else repr(field.default)
        text = f"  {field.description}" if field.description else ""
        lines.append(f"  {PREFIX}{name.upper()} ({default}){text}")
    parser = argparse.ArgumentParser(
        prog="relist-serve",
        description="Serve POST /rerank from an artifact folder. Settings come from variables.",
        epilog="settings:\n" + "\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)  # given by the supervisor
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)
    return parser


def _complain(text: str) -> None:
    sys.stderr.write(f"relist-serve: {text}\n")
