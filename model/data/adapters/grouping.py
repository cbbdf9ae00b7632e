"""Groups the rows of a file by key in bounded memory, through temporary files on disk."""

from __future__ import annotations

import marshal
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

GROUP_FILES = 128  # one of them is in memory at a time


def group_rows(
    rows: Iterable[tuple[str, tuple[Any, ...]]], scratch_dir: Path, files: int = GROUP_FILES
) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """Yield each key with all its rows, in the order of the source.

    Args:
        rows: key and row; a row holds text, numbers and None.
        scratch_dir: existing folder for the temporary files, about as large as the source.
        files: number of temporary files.
    """
    with tempfile.TemporaryDirectory(dir=scratch_dir, prefix=".rows-") as name:
        paths = [Path(name) / str(index) for index in range(files)]
        with ExitStack() as stack:
            opened = [stack.enter_context(path.open("wb")) for path in paths]
            for key, row in rows:
                marshal.dump((key, row), opened[zlib.crc32(key.encode()) % files])
        for path in paths:
            yield from _groups_of(path).items()
            path.unlink()


def _groups_of(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    groups: dict[str, list[tuple[Any, ...]]] = {}
    with path.open("rb") as file:
        while True:
            try:
                key, row = marshal.load(file)
            except EOFError:
                return groups
            groups.setdefault(key, []).append(row)
