r"""Baidu-ULTR, Large Scale Web Search Session Data: search results, with clicks by place.

Source: https://github.com/ChuXiaokai/baidu_ultr_dataset (layout: its README, section "Large Scale
Web Search Session Data"; arXiv 2207.03051). Terms: CC BY-NC 4.0, as copies of the data set say.
Files: part-*.gz, or the same files decompressed without a suffix. Tab-separated. A line of up to
three columns opens a query (id, query, reformulation); each further line is a result (31 columns
or more: place, URL MD5, title, abstract, type, click at 0 to 5). Tokens are ids joined by \x01.
The feature releases of other authors (vectors in .feather or .npy files) are not read.

- Request: one query line and its results. The files have no times: a request gets its number in
  the order of the files as seconds from 2022-01-01, so a split by time is one by file order.
- User: none in the files; the query's text stands for the user, so that lists of one query are its
  history.
- Candidates and shown items: the results by place. Nothing else is known of upstream: place and
  upstream's order cannot be separated. A gap in the places is closed.
- Clicks: the click column. Conversions: not known.
- Fields: media type, title and its length; shares of the query's tokens in title and abstract; the
  query's tokens. Not used, since they are known only later: times, heights and counts on screen.
- Left out: results without a URL MD5. Dropped: queries without results.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model.data.adapters.impression_row import ImpressionRow
from model.data.adapters.log_builder import LogBuilder
from model.data.adapters.source_files import (
    TextSource,
    find_files,
    first_of_each,
    text_or_none,
)
from model.data.log.log_info import LogInfo

_QUERY_COLUMNS, _RESULT_COLUMNS = 3, 31
_POSITION, _URL, _TITLE, _ABSTRACT, _TYPE, _CLICK = range(6)
_START_MS = 1_640_995_200_000  # 2022-01-01 UTC
_KEPT_TOKENS = 16
Result = tuple[int, str, int, float, float]  # place, URL, click, overlaps


def convert_baidu_ultr(source: Path, builder: LogBuilder) -> None:
    """Fill the builder from a folder with part files."""
    paths = find_files(source, "part-*.gz", "part-*[0-9]")
    number = 0
    for path in paths:
        for query, results in _requests(TextSource(path, (), comma=False), builder):
            _add(builder, number, query, results)
            number += 1
    builder.finish(LogInfo(name="baidu_ultr"), items=first_of_each(_documents(paths)))


def _requests(file: TextSource, builder: LogBuilder) -> Iterator[tuple[list[str], list[Result]]]:
    query: list[str] | None = None
    results: list[Result] = []
    for row in file.raw_rows():
        if len(row) <= _QUERY_COLUMNS:
            if query is not None:
                yield query, results
            query, results = _tokens(row[1]) if len(row) > 1 else [], []
        elif query is None or len(row) < _RESULT_COLUMNS:
            rule = f"{len(row)} columns; a query has up to 3, a result after it at least 31"
            file.fail(None, rule)
        elif text_or_none(row[_URL]) is None:
            builder.notes["results without a URL MD5"] += 1
        else:
            results.append(_result(file, row, query))
    if query is not None:
        yield query, results


def _result(file: TextSource, row: list[str], query: list[str]) -> Result:
    return (
        file.integer(row[_POSITION], "position"),
        row[_URL],
        file.flag(row[_CLICK], "click"),
        _overlap(query, _tokens(row[_TITLE])),
        _overlap(query, _tokens(row[_ABSTRACT])),
    )


def _add(builder: LogBuilder, number: int, query: list[str], results: list[Result]) -> None:
    results = sorted(results, key=lambda result: result[0])
    urls = [result[1] for result in results]
    digest = hashlib.blake2b("\x01".join(query).encode(), digest_size=8).hexdigest()
    builder.add(
        ImpressionRow(
            request_id=str(number),
            user_id=f"query-{digest}",
            timestamp=_START_MS + 1000 * number,
            candidates=urls,
            shown=urls,
            clicks=[result[2] for result in results],
            context={"query_tokens": query[:_KEPT_TOKENS], "query_length": len(query)},
            candidate_values={
                "title_overlap": [result[3] for result in results],
                "abstract_overlap": [result[4] for result in results],
            },
        )
    )


def _tokens(text: str) -> list[str]:
    return [token for token in text.split("\x01") if token]


def _overlap(query: list[str], text: list[str]) -> float:
    """Share of the query's distinct tokens that occur in the text; 0 for an empty query."""
    wanted = set(query)
    return len(wanted & set(text)) / len(wanted) if wanted else 0.0


def _documents(paths: list[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in paths:
        for row in TextSource(path, (), comma=False).raw_rows():
            if len(row) > _QUERY_COLUMNS:
                title = _tokens(row[_TITLE])
                yield (
                    row[_URL],
                    {
                        "media_type": text_or_none(row[_TYPE]),
                        "title_tokens": title[:_KEPT_TOKENS],
                        "title_length": len(title),
                    },
                )
