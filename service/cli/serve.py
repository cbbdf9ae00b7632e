"""`relist-serve`: reads settings, binds the address, runs one process or several."""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Sequence

from service.server.signals import install_startup_handlers


def main(argv: Sequence[str] | None = None) -> int:
    """Run until SIGTERM; 0 after an orderly end, 1 for a failed start, 2 for wrong settings."""
    install_startup_handlers()  # before the imports below, which take a second
    from service.server import launch

    arguments = _parser(launch.settings_help()).parse_args(argv)
    try:
        settings = launch.read_settings()
    except launch.SettingsError as error:
        for line in error.lines:
            _complain(line)
        return 2
    if arguments.worker is not None:
        return launch.run_worker(
            settings,
            socket.socket(fileno=arguments.fd),
            index=arguments.worker,
            parent_fd=arguments.parent_fd,
        )
    try:
        return launch.run(settings)
    except launch.AddressError as error:
        _complain(str(error))
        return 1


def _parser(settings_help: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="relist-serve",
        description="Serve POST /rerank from an artifact folder. Settings come from variables.",
        epilog=settings_help,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    # Set by the supervisor:
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--parent-fd", type=int, help=argparse.SUPPRESS)
    return parser


def _complain(text: str) -> None:
    sys.stderr.write(f"relist-serve: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
