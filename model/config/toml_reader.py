"""Read TOML into frozen pydantic dataclasses; errors name the file, the key and the rule.

The only TOML reader of the training side: pipeline configuration, log.toml and simulation presets.
It does not know what the values mean; the dataclasses check that.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from model.contract.text_files import NotUtf8Text, read_utf8_text

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

ConfigT = TypeVar("ConfigT", bound="DataclassInstance")
STRICT_CONFIG = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class ConfigError(Exception):
    """The configuration breaks a rule; the message names file, key and rule."""


def read_toml(path: Path) -> dict[str, Any]:
    """Parse one TOML file.

    Raises:
        ConfigError: the file is missing, not UTF-8, or not TOML.
    """
    try:
        return tomllib.loads(read_utf8_text(path))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except NotUtf8Text as error:
        raise ConfigError(f"{path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error


def read_flat_toml(config_type: type[ConfigT], path: Path) -> ConfigT:
    """Read a TOML file without tables into a dataclass; raises ConfigError."""
    return parse_table(config_type, read_toml(path), str(path))


def parse_table(config_type: type[ConfigT], mapping: object, origin: str) -> ConfigT:
    """Build a dataclass from a parsed table.

    Args:
        config_type: a pydantic dataclass with `STRICT_CONFIG`: types are checked strictly, an
            integer passes for a float, an array becomes a tuple.
        mapping: the parsed table.
        origin: file, and table if it has one; starts each message.

    Raises:
        ConfigError: for an unknown key, a missing key, or a value of a wrong type or range.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{origin}: must be a table, not {mapping!r}")
    reject_unknown_keys(mapping, [f.name for f in dataclasses.fields(config_type)], origin)
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in mapping.items()}
    try:
        return config_type(**values)
    except ValidationError as error:
        raise _config_error(error, origin) from error


def override_value(config: ConfigT, key: str, value: object, origin: str) -> ConfigT:
    """A copy of the configuration with another value of one key; raises ConfigError."""
    try:
        return dataclasses.replace(config, **{key: value})
    except ValidationError as error:
        raise _config_error(error, origin) from error


def reject_unknown_keys(mapping: Mapping[str, Any], known: Iterable[str], origin: str) -> None:
    """Raise ConfigError for the first key that is not known, with the closest known one."""
    known = list(known)
    unknown = sorted(set(mapping) - set(known))
    if not unknown:
        return
    close = difflib.get_close_matches(unknown[0], known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ConfigError(f"{origin}: unknown key {unknown[0]!r}{hint} (known: {', '.join(known)})")


def _config_error(error: ValidationError, origin: str) -> ConfigError:
    return ConfigError(f"{origin}: {_describe(error.errors(include_url=False)[0])}")


def _describe(error: ErrorDetails) -> str:
    """One message from pydantic's first error: key, value and rule."""
    message = error["msg"].removeprefix("Value error, ")
    key = ".".join(str(part) for part in error["loc"])
    if not key:
        return message
    if error["type"] in ("missing", "missing_keyword_only_argument"):
        return f"key {key!r} is missing"
    return f"{key}={error['input']!r}: {message[0].lower()}{message[1:]}"
