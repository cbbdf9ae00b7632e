"""The command `relist`; each package registers its subcommands by entry point.

Imports nothing slow before `relist serve` has its first signal handlers.
"""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from service.server.signals import install_startup_handlers

if TYPE_CHECKING:
    from collections.abc import Callable

    from typer import Typer

COMMAND_GROUP = "relist.commands"
# the service's own; an image has no metadata of an installed distribution
_OWN_COMMANDS = {
    "serve": "service.cli.serve:serve_command",
    "load": "service.cli.load_store:load",
    "demo": "service.cli.demo:demo_command",
}


def main() -> None:
    """Run the subcommand that the arguments name; ends the process with its exit status."""
    if sys.argv[1:2] == ["serve"]:
        install_startup_handlers()
    build_cli(only_asked=True)(prog_name="relist")


def build_cli(*, only_asked: bool = False) -> Typer:
    """The root command with every registered subcommand, in alphabetical order.

    only_asked: import no other subcommand than the one that the arguments of the process name.
    """
    from typer import Typer

    app = Typer(
        name="relist",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback(help="Relist reranks whole lists: train, export, serve and measure.")(
        _keep_subcommands
    )
    commands = registered_commands()
    asked = sys.argv[1:2] if only_asked and sys.argv[1:2] and sys.argv[1] in commands else commands
    for name in sorted(asked):
        _register(app, name, commands[name])
    return app


def registered_commands() -> dict[str, EntryPoint]:
    """Subcommands by name: a function with Typer's annotations, or a Typer application."""
    commands = {
        name: EntryPoint(name, value, COMMAND_GROUP) for name, value in _OWN_COMMANDS.items()
    }
    return {point.name: point for point in entry_points(group=COMMAND_GROUP)} | commands


def _keep_subcommands() -> None:
    """Keep `relist COMMAND`: Typer drops the level where only one command is registered."""


def _register(app: Typer, name: str, entry_point: EntryPoint) -> None:
    from typer import Typer

    try:
        command = entry_point.load()
    except ModuleNotFoundError as error:
        app.command(name, help=_missing_text(entry_point, error))(_missing(entry_point, error))
        return
    if isinstance(command, Typer):
        app.add_typer(command, name=name)
    else:
        app.command(name)(command)


def _missing_text(entry_point: EntryPoint, error: ModuleNotFoundError) -> str:
    extra = ",".join(entry_point.extras)
    cure = f"pip install 'relist[{extra}]'" if extra else f"pip install {error.name}"
    return f"Not installed ({error.name} is missing): {cure}"


def _missing(entry_point: EntryPoint, error: ModuleNotFoundError) -> Callable[[list[str]], None]:
    from typer import Argument, Exit, echo

    text = _missing_text(entry_point, error)

    def command(arguments: list[str] = Argument(None, hidden=True)) -> None:  # noqa: B008
        echo(f"relist {entry_point.name}: {text}", err=True)
        raise Exit(1)

    return command


if __name__ == "__main__":
    main()
