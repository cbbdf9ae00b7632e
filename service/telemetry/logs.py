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
LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON; a foreign record keeps its message as `event`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        facts = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        facts |= getattr(record, "facts", {})
        if record.exc_info and record.exc_info[1] is not None:
            facts |= _where(record.exc_info[1])
        return json.dumps(facts, default=str)


def configure(level: str, stream: TextIO = sys.stderr) -> None:
    """Send every logger of the process through the formatter."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=LEVELS[level], handlers=[handler], force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio"):
        logging.getLogger(name).setLevel(max(LEVELS[level], logging.WARNING))


def event(level: str, name: str, error: BaseException | None = None, **facts: Any) -> None:  # noqa: ANN401  # facts are JSON values
    """Log an event with facts, and the type and place of an error."""
    if _LOGGER.isEnabledFor(LEVELS[level]):
        extra = facts if error is None else facts | _where(error)
        _LOGGER.log(LEVELS[level], name, extra={"facts": extra})


def _where(error: BaseException) -> dict[str, str]:
    """Type of an error and the line that raised it: no values, no trace."""
    frames = traceback.extract_tb(error.__traceback__)
    at = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown"
    return {"error": type(error).__name__, "at": at}
