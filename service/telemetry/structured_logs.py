"""Structured logs: one JSON object per line on standard error.

A line holds no user id, token, body or stack trace: callers pass an event name and fields, and an
exception is logged as its type and the line that raised it.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

_LOGGER = logging.getLogger("relist")
LOG_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class JsonLogFormatter(logging.Formatter):
    """Formats a record as one JSON object; a library's record has its message as `event`."""

    def format(self, record: logging.LogRecord) -> str:
        """The JSON text of a record, without a line break."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        entry |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[1] is not None:
            entry |= _error_fields(record.exc_info[1])
        return json.dumps(entry, default=str)


def configure_logging(level: str, stream: TextIO = sys.stderr) -> None:
    """Send every logger of the process to `stream`, from `level` up, libraries from warning up."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLogFormatter())
    logging.basicConfig(level=LOG_LEVELS[level], handlers=[handler], force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio"):
        logging.getLogger(name).setLevel(max(LOG_LEVELS[level], logging.WARNING))


def log_event(level: str, name: str, error: BaseException | None = None, **fields: Any) -> None:  # noqa: ANN401  # JSON values
    """Log an event with fields, and with the type and location of an error."""
    if _LOGGER.isEnabledFor(LOG_LEVELS[level]):
        extra = fields if error is None else fields | _error_fields(error)
        _LOGGER.log(LOG_LEVELS[level], name, extra={"fields": extra})


def _error_fields(error: BaseException) -> dict[str, str]:
    """Type of an error and file:line that raised it, without values or a trace."""
    frames = traceback.extract_tb(error.__traceback__)
    location = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown"
    return {"error": type(error).__name__, "location": location}
