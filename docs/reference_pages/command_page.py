"""Reference page of the command line, read from the Typer application."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

from docs.reference_pages.markdown import code, page, paragraph, table

APPLICATION = "service.cli.main"


def application() -> Any | None:  # noqa: ANN401 the Typer application, which may not be installed
    """The Typer application of `relist`; None where this tree has none."""
    try:
        return importlib.import_module(APPLICATION).app
    except (ModuleNotFoundError, AttributeError):
        return None


def command_page() -> str | None:
    """Every subcommand with its options; None without an application."""
    found = application()
    if found is None:
        return None
    typer_main = importlib.import_module("typer.main")
    blocks = []
    for name, command in subcommands(typer_main.get_command(found), "relist"):
        help_text = (command.help or "").split("\n\n")[0]
        blocks += [f"## {name}", paragraph(help_text)]
        rows = [_row(parameter) for parameter in command.params if parameter.name != "help"]
        if rows:
            blocks.append(table(["parameter", "default", "meaning"], rows))
    return page(
        "Command line",
        "One command, `relist`, with subcommands. `relist COMMAND --help` prints the same text. "
        "Subcommands of training and export need `pip install 'relist[train]'`. Exit status: 0 "
        "success, 1 the work failed, 2 an option, a file or a setting is wrong.",
        *blocks,
    )


def subcommands(command: Any, path: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 click command
    """Path and command of each leaf."""
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in sorted(children.items()):
        yield from subcommands(child, f"{path} {name}")


def _row(parameter: Any) -> tuple[str, str, str]:  # noqa: ANN401 click parameter
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    shown = names if names.startswith("-") else parameter.name.upper()
    default = parameter.default
    text = "required" if parameter.required else "" if default is None else code(default)
    return code(shown), text, getattr(parameter, "help", None) or ""
