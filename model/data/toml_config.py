"""Flat frozen dataclasses from TOML: an unknown key or a value of another type is an error.

Knows nothing of what the values mean; the dataclass's own `__post_init__` checks that.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from model.contract.text_files import NotUtf8Text, read_utf8_text
from model.data.errors import DataConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

ConfigT = TypeVar("ConfigT", bound="DataclassInstance")


def read_flat_toml(config_type: type[ConfigT], path: Path) -> ConfigT:
    """Read one TOML file into `list_kind`; raises ConfigError naming file, key and rule."""
    try:
        raw = tomllib.loads(read_utf8_text(path))
    except NotUtf8Text as error:
        raise DataConfigError(file=str(path), key="-", rule=str(error)) from error
    except OSError as error:
        raise DataConfigError(file=str(path), key="-", rule="no readable file") from error
    except tomllib.TOMLDecodeError as error:
        raise DataConfigError(file=str(path), key="-", rule=f"not TOML: {error}") from error
    return config_from_mapping(config_type, raw, file=path.name)


def config_from_mapping(
    config_type: type[ConfigT], raw: Mapping[str, Any], *, file: str
) -> ConfigT:
    """Build `list_kind` from parsed TOML."""
    hints = get_type_hints(config_type)
    names = {f.name for f in dataclasses.fields(config_type)}
    for key in raw:
        if key not in names:
            known = ", ".join(sorted(names))
            raise DataConfigError(file=file, key=key, rule=f"unknown key; known are {known}")
    values = {key: _typed(hints[key], value, file, key) for key, value in raw.items()}
    try:
        return config_type(**values)
    except ValueError as error:
        raise DataConfigError(file=file, key="-", rule=str(error)) from error
    except TypeError as error:
        raise DataConfigError(file=file, key="-", rule=f"a key is missing: {error}") from error


def _typed(hint: object, value: object, file: str, key: str) -> object:
    """The value as the hint wants it; int passes for float, a TOML array for a tuple of floats."""
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint in (bool, int, float, str):
        if type(value) is not hint:
            raise DataConfigError(file=file, key=key, rule=f"takes {hint.__name__}, not {value!r}")
        return value
    if isinstance(value, list):
        return tuple(_typed(float, x, file, key) for x in value)
    raise DataConfigError(file=file, key=key, rule=f"takes an array of numbers, not {value!r}")
