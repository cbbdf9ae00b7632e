"""Reads the files of public data sets row by row: CSV, TSV, Parquet and Feather.

Holds one batch of rows at a time. Knows no data set. Errors name file, line and column.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from model.data.errors import SourceInvalid

_ValuesT = TypeVar("_ValuesT")
MISSING_TEXTS = frozenset({"", "NULL", "null", "nan", "NaN", "None", "-"})
_UPDATE_ROWS, _BATCH_ROWS = 10_000, 16_384
_REPLACEMENT = "\ufffd"  # what a byte that is not UTF-8 becomes


class TextSource:
    """Rows of one text file as tuples of the wanted columns; `line` is the current line.

    A byte that is not UTF-8 becomes U+FFFD, and `odd_rows` counts the lines with one. A first
    column name may follow a byte order mark. Files that end in .gz are decompressed.
    """

    def __init__(
        self, path: Path, columns: Sequence[str], *, header: Sequence[str] = (), comma: bool = True
    ) -> None:
        """Open nothing yet.

        Args:
            path: the file.
            columns: wanted columns, in the order of the tuples.
            header: names of all columns of a file without a header line.
            comma: comma-separated with quotes; False is tab-separated without quotes.
        """
        self.path, self.file, self.line, self.odd_rows = path, path.name, 0, 0
        self._columns, self._header, self._comma = tuple(columns), tuple(header), comma

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        """Yield the wanted columns of each row, as text."""
        rows = self.raw_rows()
        header = list(self._header) or next(rows, [])
        where = [self._index_of(name, header) for name in self._columns]
        pick = itemgetter(*where) if len(where) > 1 else lambda row: (row[where[0]],)
        for row in rows:
            if len(row) != len(header):
                if not row or row == [""]:
                    continue
                self.fail(None, f"{len(row)} columns where {len(header)} are expected")
            yield pick(row)

    def raw_rows(self) -> Iterator[list[str]]:
        """Yield all columns of each line, the header included, and move a progress bar."""
        try:
            with self.path.open("rb") as raw:
                yield from self._split(raw)
        except FileNotFoundError as error:
            raise SourceInvalid(
                file=self.file, rule=f"no such file in {self.path.parent}"
            ) from error
        except (csv.Error, EOFError, gzip.BadGzipFile) as error:
            self.fail(None, f"cannot be read: {error}")

    def _split(self, raw: io.BufferedReader) -> Iterator[list[str]]:
        opened: Any = gzip.GzipFile(fileobj=raw) if self.path.suffix == ".gz" else raw
        newline = "" if self._comma else "\n"
        size = self.path.stat().st_size
        with (
            io.TextIOWrapper(opened, "utf-8-sig", errors="replace", newline=newline) as text,
            tqdm(total=size, desc=self.file, unit="B", unit_scale=True, leave=False) as bar,
        ):
            lines = self._counted(text)
            by_tab = (line.rstrip("\r\n").split("\t") for line in lines)
            for number, row in enumerate(csv.reader(lines) if self._comma else by_tab):
                yield row
                if number % _UPDATE_ROWS == 0:
                    bar.update(raw.tell() - bar.n)

    def _counted(self, text: io.TextIOWrapper) -> Iterator[str]:
        for line in text:
            self.line += 1
            self.odd_rows += _REPLACEMENT in line
            yield line

    def _index_of(self, name: str, header: Sequence[str]) -> int:
        names = [column.strip() for column in header]
        if name not in names:
            raise SourceInvalid(
                file=self.file, column=name, rule=f"missing; the file has {', '.join(names)}"
            )
        return names.index(name)

    def fail(self, column: str | None, rule: str) -> NoReturn:
        """Raise the error of the current line."""
        raise SourceInvalid(file=self.file, line=self.line, column=column, rule=rule)

    def number(self, text: str, column: str) -> float | None:
        """The number in a cell; None for a gap or an infinity."""
        if text in MISSING_TEXTS:
            return None
        try:
            value = float(text)
        except ValueError:
            self.fail(column, f"{text!r} is not a number")
        return value if math.isfinite(value) else None

    def integer(self, text: str, column: str) -> int:
        """The whole number in a cell that must hold one."""
        value = self.number(text, column)
        if value is None or value != int(value):
            self.fail(column, f"{text!r} is not a whole number")
        return int(value)

    def flag(self, text: str, column: str) -> int:
        """The 0 or 1 in a cell that must hold one."""
        value = self.number(text, column)
        if value not in (0.0, 1.0):
            self.fail(column, f"{text!r} is not 0 or 1")
        return int(value or 0)


class ArrowSource:
    """Rows of one Parquet or Feather file as tuples of Python values; `line` counts from 1."""

    def __init__(self, path: Path, columns: Sequence[str], *, optional: Sequence[str] = ()) -> None:
        """Open nothing yet; an optional column that is missing holds None."""
        self.path, self.file, self.line = path, path.name, 0
        self._columns, self._optional = tuple(columns), tuple(optional)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Yield the wanted columns of each row, the optional ones last."""
        try:
            yield from self._rows()
        except FileNotFoundError as error:
            raise SourceInvalid(
                file=self.file, rule=f"no such file in {self.path.parent}"
            ) from error
        except pa.ArrowInvalid as error:
            raise SourceInvalid(file=self.file, rule=f"cannot be read: {error}") from error

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        with tqdm(desc=self.file, unit=" rows", unit_scale=True, leave=False) as bar:
            for batch in self._batches():
                names = set(batch.schema.names)
                columns = [
                    batch[name].to_pylist() if name in names else [None] * batch.num_rows
                    for name in (*self._columns, *self._optional)
                ]
                for row in zip(*columns, strict=True):
                    self.line += 1
                    yield row
                bar.update(batch.num_rows)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        if self.path.suffix == ".feather":
            with pa.memory_map(str(self.path)) as mapped:
                reader = pa.ipc.open_file(mapped)
                self._require(reader.schema.names)
                for index in range(reader.num_record_batches):
                    yield reader.get_batch(index)
            return
        with pq.ParquetFile(self.path) as file:
            names = file.schema_arrow.names
            self._require(names)
            wanted = [name for name in (*self._columns, *self._optional) if name in names]
            yield from file.iter_batches(_BATCH_ROWS, columns=wanted)

    def _require(self, names: Sequence[str]) -> None:
        for name in self._columns:
            if name not in names:
                raise SourceInvalid(
                    file=self.file, column=name, rule=f"missing; the file has {', '.join(names)}"
                )

    def fail(self, column: str | None, rule: str) -> NoReturn:
        """Raise the error of the current row."""
        raise SourceInvalid(file=self.file, line=self.line, column=column, rule=rule)


def find_files(folder: Path, *patterns: str) -> list[Path]:
    """Files of a folder that match any pattern, by name.

    Raises:
        SourceInvalid: none matches.
    """
    found = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    if not found:
        expected = " or ".join(patterns)
        raise SourceInvalid(file=str(folder), rule=f"holds no file {expected}")
    return found


def first_of_each(rows: Iterable[tuple[str, _ValuesT]]) -> Iterator[tuple[str, _ValuesT]]:
    """The first row of each id; holds the distinct ids in memory."""
    seen: set[str] = set()
    for entity_id, values in rows:
        if entity_id not in seen:
            seen.add(entity_id)
            yield entity_id, values


def text_or_none(value: Any) -> str | None:  # noqa: ANN401 - any scalar of Arrow or CSV
    """A category as text; None for a gap. Whole floats lose their fraction."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value).strip()
    return None if text in MISSING_TEXTS else text
