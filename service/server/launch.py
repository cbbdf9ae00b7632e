"""Implementation of `relist serve`: settings, address, then one process or several."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from model.contract.kernels.compilation import NumbaNotInstalledError, select_implementation
from service.composition import AppHookError, load_app_hook
from service.server.process import run_process
from service.server.sockets import listen
from service.server.supervisor import supervise
from service.settings import PREFIX, Settings
from service.telemetry import structured_logs
from service.telemetry.tracing import TracingNotInstalledError, require_otel_extra

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


class SettingsError(Exception):
    """Settings that cannot be used; one line per fault."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


class AddressError(Exception):
    """The address cannot be bound."""


def settings_help() -> str:
    """Every setting with its default and meaning."""
    lines = ["settings:"]
    for name, field in Settings.model_fields.items():
        text = f"  {field.description}" if field.description else ""
        lines.append(f"  {PREFIX}{name.upper()} ({_default_text(field)}){text}")
    return "\n".join(lines)


def read_settings() -> Settings:
    """The settings of the environment, with logs configured; raises SettingsError."""
    try:
        settings = Settings.from_environment(os.environ)
        require_otel_extra(settings.otel_endpoint)
        select_implementation(settings.kernels)
        load_app_hook(settings.app_hook)
    except ValidationError as error:
        raise SettingsError([_fault_line(fault) for fault in error.errors()]) from error
    except (
        ValueError,
        TracingNotInstalledError,
        NumbaNotInstalledError,
        AppHookError,
    ) as error:
        raise SettingsError([str(error)]) from error
    structured_logs.configure_logging(settings.log_level)
    return settings


def run(settings: Settings) -> int:
    """Bind the address and serve until SIGTERM; the exit status. Raises AddressError."""
    try:
        listening = listen(settings.host, settings.port)
    except OSError as error:
        raise AddressError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}"
        ) from error
    if settings.workers > 1:
        return supervise(settings, listening)
    return run_process(settings, listening, 0)


def run_worker(settings: Settings, listening: socket.socket, *, index: int, parent_fd: int) -> int:
    """Serve as one of several workers until SIGTERM or the end of the parent."""
    return run_process(settings, listening, index, parent_fd)


def _default_text(field: FieldInfo) -> str:
    """The default as an environment value; `unset` for none."""
    default = field.default
    if field.is_required():
        return "required"
    if isinstance(default, SecretStr):  # a default is in the source code: no secret
        return default.get_secret_value()
    if default is None:
        return "unset"
    return str(default) if isinstance(default, str) else json.dumps(default)


def _fault_line(fault: ErrorDetails) -> str:
    """One fault with the name of its variable."""
    message = fault["msg"].removeprefix("Value error, ")
    name = PREFIX + str(fault["loc"][0]).upper() if fault["loc"] else ""
    return message if message.startswith(name) else f"{name}: {message}"
