"""`relist serve`: reads settings, binds the address, runs one process or several."""

from __future__ import annotations

import socket
import sys
from typing import Annotated

from typer import Exit, Option, echo

HiddenInt = Annotated[int | None, Option(hidden=True)]  # set by the supervisor


def serve_command(
    *,
    show_settings: Annotated[
        bool, Option("--settings", help="List every setting with its default and end.")
    ] = False,
    worker: HiddenInt = None,
    fd: HiddenInt = None,
    parent_fd: HiddenInt = None,
) -> None:
    """Serve POST /rerank from an artifact folder. Settings are environment variables.

    Exit status: 0 after an orderly end, 1 for a failed start, 2 for wrong settings.
    """
    from service.server import (
        launch,
    )  # imports for a second; the first signal handlers are set by now

    if show_settings:
        echo(launch.settings_help())
        return
    try:
        settings = launch.read_settings()
    except launch.SettingsError as error:
        for line in error.lines:
            echo(f"relist serve: {line}", err=True)
        raise Exit(2) from error
    if worker is not None and fd is not None and parent_fd is not None:
        sys.exit(
            launch.run_worker(settings, socket.socket(fileno=fd), index=worker, parent_fd=parent_fd)
        )
    try:
        sys.exit(launch.run(settings))
    except launch.AddressError as error:
        echo(f"relist serve: {error}", err=True)
        raise Exit(1) from error
