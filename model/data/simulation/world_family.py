"""Reads the family of simulated worlds: named entries, each a response model in a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic.dataclasses import dataclass as pydantic_dataclass

from model.config.toml_reader import (
    STRICT_CONFIG,
    ConfigError,
    parse_table,
    read_toml,
    reject_unknown_keys,
)
from model.data.simulation.click_world_config import ClickWorldConfig

WORLD_FAMILY_TOML = Path(__file__).parents[1] / "presets" / "world_family.toml"
WORLD_HALVES = ("design", "report")


@pydantic_dataclass(frozen=True, slots=True, kw_only=True, config=STRICT_CONFIG)
class _Entry:
    """One table [worlds.NAME]."""

    half: Literal["design", "report"]
    form: str
    log: str
    lists: int
    parameters: dict[str, int | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyWorld:
    """A world of the family.

    half: `design` or `report`. log_name: name of the log's table.
    config: of the simulated log, with the response model.
    """

    name: str
    half: str
    log_name: str
    config: ClickWorldConfig

    def with_lists(self, lists: int | None) -> FamilyWorld:
        """The world with another number of training lists; None keeps it."""
        if lists is None:
            return self
        return replace(self, config=replace(self.config, lists=lists))


def read_world_family(path: Path = WORLD_FAMILY_TOML) -> dict[str, FamilyWorld]:
    """All worlds by name, in the order of the file; raises ConfigError."""
    tables = read_toml(path)
    reject_unknown_keys(tables, ("logs", "worlds"), str(path))
    logs, worlds = tables.get("logs", {}), tables.get("worlds", {})
    return {name: _family_world(name, table, logs, str(path)) for name, table in worlds.items()}


def select_worlds(
    family: Mapping[str, FamilyWorld], wanted: Sequence[str]
) -> tuple[FamilyWorld, ...]:
    """Worlds of names and halves; `all` takes every one. Raises ConfigError for an unknown name."""
    known = (*family, *WORLD_HALVES, "all")
    for name in wanted:
        if name not in known:
            raise ConfigError(f"--worlds {name}: is none of {', '.join(known)}")
    return tuple(
        world
        for world in family.values()
        if "all" in wanted or world.name in wanted or world.half in wanted
    )


def _family_world(name: str, table: object, logs: Mapping[str, Any], origin: str) -> FamilyWorld:
    origin = f"{origin}: [worlds.{name}]"
    entry = parse_table(_Entry, table, origin)
    if entry.log not in logs:
        raise ConfigError(f"{origin}: log={entry.log!r}: is none of {', '.join(logs)}")
    settings = logs[entry.log] | {
        "form": entry.form,
        "parameters": entry.parameters,
        "lists": entry.lists,
    }
    config = parse_table(ClickWorldConfig, settings, f"{origin} log {entry.log}")
    return FamilyWorld(name=name, half=entry.half, log_name=entry.log, config=config)
