"""Reference page of the command line, read from the subcommands that pyproject.toml registers."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import typer
import typer.main

from docs.reference_pages.markdown import cell, code, page, paragraph, table

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
COMMAND_GROUP = "relist.commands"


def registered_commands() -> list[EntryPoint]:
    """The subcommands, by the declaration in pyproject.toml."""
    project = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]
    declared = project["entry-points"][COMMAND_GROUP]
    return [EntryPoint(name, value, COMMAND_GROUP) for name, value in sorted(declared.items())]


def command_page() -> str | None:
    """Every subcommand with its options; None while a declared subcommand cannot be loaded."""
    blocks = []
    try:
        found = list(subcommands())
    except (ModuleNotFoundError, AttributeError):
        return None
    for name, command, extras in found:
        needs = f" Needs the extra `{extras}`." if extras else ""
        help_text = " ".join((command.help or "").split("\n\n")[0].split())
        blocks += [f"## {name}", paragraph(help_text + needs)]
        rows = [
            _row(parameter)
            for parameter in command.params
            if not getattr(parameter, "hidden", False)
        ]
        if rows:
            blocks.append(table(["parameter", "default", "meaning"], rows))
    return page(
        "Command line",
        "One command, `relist`, with subcommands. `relist COMMAND --help` prints the same text. "
        "A subcommand whose extra is missing names it. Exit status: 0 success, 1 the work failed, "
        "2 an option, a file or a setting is wrong.",
        *blocks,
    )


def subcommands() -> Iterator[tuple[str, Any, str]]:
    """Path, click command and extras of each leaf."""
    for point in registered_commands():
        loaded = point.load()
        if isinstance(loaded, typer.Typer):
            command: Any = typer.main.get_command(loaded)
        else:
            single = typer.Typer()
            single.command(point.name)(loaded)
            command = typer.main.get_command(single)
        for path, leaf in _leaves(command, f"relist {point.name}"):
            yield path, leaf, ",".join(point.extras)


def _leaves(command: Any, path: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 click command
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in sorted(children.items()):
        yield from _leaves(child, f"{path} {name}")


def _row(parameter: Any) -> tuple[str, str, str]:  # noqa: ANN401 click parameter
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    shown = names if names.startswith("-") else parameter.name.upper()
    default = "" if parameter.default is None else code(parameter.default)
    text = "required" if parameter.required else default
    return code(shown), text, cell(getattr(parameter, "help", None) or "")
