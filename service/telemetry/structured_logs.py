"""Structured logs: one JSON object a line on standard error.

No user id, no token, no body and no stack trace reaches a line: callers name an event and facts,
and an exception is logged as its type and the place that raised it.
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
    """A record as one line of JSON; a foreign record keeps its message as `log_event`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        facts = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        facts |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[1] is not None:
            facts |= _error_fields(record.exc_info[1])
        return json.dumps(facts, default=str)


def configure_logging(level: str, stream: TextIO = sys.stderr) -> None:
    """Send every logger of the process through the formatter."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLogFormatter())
    logging.basicConfig(level=LOG_LEVELS[level], handlers=[handler], force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio"):
        logging.getLogger(name).setLevel(max(LOG_LEVELS[level], logging.WARNING))


def log_event(level: str, name: str, error: BaseException | None = None, **fields: Any) -> None:  # noqa: ANN401  # facts are JSON values
    """Log an event with facts, and the type and place of an error."""
    if _LOGGER.isEnabledFor(LOG_LEVELS[level]):
        extra = fields if error is None else fields | _error_fields(error)
        _LOGGER.log(LOG_LEVELS[level], name, extra={"fields": extra})


def _error_fields(error: BaseException) -> dict[str, str]:
    """Type of an error and the line that raised it: no values, no trace."""
    frames = traceback.extract_tb(error.__traceback__)
    at = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown"
    return {"error": type(error).__name__, "location": at}
