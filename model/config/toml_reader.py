"""Parsed TOML into frozen dataclasses: unknown keys and values of another type are errors.

Knows nothing of what the values mean.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


class ConfigError(Exception):
    """The configuration breaks a rule; names file, key and rule."""


def parse_table(config_type: Any, mapping: object, origin: str) -> Any:  # noqa: ANN401 any table's dataclass
    """Build a dataclass from a parsed table; raises ConfigError."""
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{origin}: is a table")
    fields = {f.name: f for f in dataclasses.fields(config_type)}
    reject_unknown_keys(mapping, fields, origin)
    try:
        return config_type(
            **{k: _checked_value(f"{origin} {k}", v, fields[k].type) for k, v in mapping.items()}
        )
    except ValueError as error:
        raise ConfigError(f"{origin}: {error}") from error


def reject_unknown_keys(mapping: Mapping[str, Any], known: Mapping[str, Any], origin: str) -> None:
    """Raise ConfigError for a key that is not known."""
    unknown = sorted(set(mapping) - set(known))
    if unknown:
        raise ConfigError(f"{origin}: unknown key {unknown[0]!r} (known: {', '.join(known)})")


def require_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise ValueError for a word that is none of these."""
    if value not in allowed:
        raise ValueError(f"{name}={value!r} is not one of {', '.join(allowed)}")


def require_at_least_one(config: object, *names: str) -> None:
    """Raise ValueError for a count below 1."""
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f"{name}={getattr(config, name)} must be at least 1")


def _checked_value(place: str, value: Any, annotation: object) -> Any:  # noqa: ANN401 TOML value
    """Check a value against the annotation, which `from __future__` keeps as text."""
    kinds: dict[str, tuple[type, ...]] = {
        "int": (int,),
        "int | None": (int, type(None)),
        "float": (int, float),
        "float | None": (int, float, type(None)),
        "bool": (bool,),
        "str": (str,),
        "str | None": (str, type(None)),
    }
    allowed = kinds[str(annotation)]
    if type(value) not in allowed:
        raise ConfigError(f"{place}: {value!r} is not {annotation}")
    return value
