"""Text files of a log and a serving bundle: UTF-8 only; JSON lines end at a line feed only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class NotUtf8Text(ValueError):
    """A file whose bytes are not UTF-8; names the first wrong byte and the cure."""

    def __init__(self, *, offset: int, byte: int) -> None:
        super().__init__(
            f"byte {byte:#04x} at offset {offset} is not UTF-8 text; save the file as UTF-8"
        )
        self.offset, self.byte = offset, byte


def read_utf8_text(path: Path) -> str:
    """Text of a file; a byte order mark of UTF-8 at its beginning is dropped.

    Raises:
        NotUtf8Text: the bytes are of another encoding. OSError: the file cannot be read.
    """
    data = path.read_bytes()
    zero = data.find(b"\0")  # valid UTF-8, but in a text file a sign of UTF-16 or UTF-32
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotUtf8Text(offset=error.start, byte=error.object[error.start]) from error
    if zero >= 0:
        raise NotUtf8Text(offset=zero, byte=0)
    return text


def split_lines(text: str) -> list[str]:
    r"""Lines of a text, split at "\n" only; the last line feed ends a line and starts none.

    JSON strings may hold U+2028, U+2029 and U+0085, where `str.splitlines` would split them.
    """
    lines = text.split("\n")
    return lines if lines[-1] else lines[:-1]


def read_json_lines(path: Path) -> Iterator[Any]:
    """Parsed lines of a JSONL file, one after the other.

    Raises:
        ValueError: a line is not JSON, or not UTF-8. OSError: the file cannot be read.
    """
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            yield json.loads(line)
