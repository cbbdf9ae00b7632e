"""MIND, the Microsoft News Dataset: news shown on a page, with clicks.

Source: https://msnews.github.io (layout:
learn.microsoft.com/azure/open-datasets/dataset-microsoft-news). Terms: non-commercial research only
(Microsoft Research License Terms).
Files: behaviors.tsv and news.tsv, in the folder itself or in each of its subfolders. Tab-separated
without a header and without quotes.

- Request: one line of behaviors.tsv. Times have no zone in the files and are read as UTC.
- Candidates and shown items: the impressions, in the order of the file. The publisher shuffled it
  (github.com/msnews/msnews.github.io/issues/8), so places and upstream's order are not known:
  the schema declares no upstream field, and a place effect in this log means nothing.
- Clicks: the suffix -1. Conversions: not known.
- Fields: category and subcategory; counts of shows and clicks in the hours before; the length of
  the click history and its most frequent categories.
- Dropped: lines without impressions, and impressions without labels (the test set).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from model.data.adapters.impression_row import ImpressionRow
from model.data.adapters.log_builder import LogBuilder
from model.data.adapters.source_files import TextSource, find_files, text_or_none
from model.data.log.log_info import LogInfo

BEHAVIOR_COLUMNS = ("impression_id", "user_id", "time", "history", "impressions")
NEWS_COLUMNS = (
    "news_id",
    "category",
    "subcategory",
    "title",
    "abstract",
    "url",
    "title_entities",
    "abstract_entities",
)
_TIME_FORMAT = "%m/%d/%Y %I:%M:%S %p"
_TOP_CATEGORIES, _LIST_SIZE = 4, 10


def convert_mind(source: Path, builder: LogBuilder) -> None:
    """Fill the builder from a folder of MIND."""
    behaviors = find_files(source, "behaviors.tsv", "*/behaviors.tsv")
    news = find_files(source, "news.tsv", "*/news.tsv")
    category = {news_id: values["category"] for news_id, values in _news(news)}
    for path in behaviors:
        prefix = "" if path.parent == source else f"{path.parent.name}-"
        file = TextSource(path, BEHAVIOR_COLUMNS, header=BEHAVIOR_COLUMNS, comma=False)
        for row in file:
            _add(builder, file, row, prefix, category)
        builder.notes["lines with bytes that are not UTF-8"] += file.odd_rows
    builder.finish(LogInfo(name="mind", list_size=_LIST_SIZE), items=_news(news))


def _add(
    builder: LogBuilder,
    file: TextSource,
    row: tuple[str, ...],
    prefix: str,
    category: Mapping[str, str | None],
) -> None:
    impression_id, user_id, time, history, impressions = row
    pairs = [text.rpartition("-") for text in impressions.split()]
    if any(label not in ("0", "1") for _, _, label in pairs):
        return builder.drop("impressions without labels")
    shown = [news_id for news_id, _, _ in pairs]
    read = history.split()
    seen = Counter(category[news_id] for news_id in read if category.get(news_id))
    return builder.add(
        ImpressionRow(
            request_id=f"{prefix}{impression_id}",
            user_id=user_id,
            timestamp=_milliseconds(file, time),
            candidates=shown,
            shown=shown,
            clicks=[int(label) for _, _, label in pairs],
            context={
                "history_length": len(read),
                "history_categories": [name for name, _ in seen.most_common(_TOP_CATEGORIES)],
            },
        )
    )


def _milliseconds(file: TextSource, time: str) -> int:
    try:
        moment = datetime.strptime(time.strip(), _TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        file.fail("time", f"{time!r} is not MM/DD/YYYY HH:MM:SS AM/PM")
    return int(moment.timestamp() * 1000)


def _news(paths: list[Path]) -> Iterator[tuple[str, dict[str, str | None]]]:
    for path in paths:
        wanted = NEWS_COLUMNS[:4]
        for news_id, *texts in TextSource(path, wanted, header=NEWS_COLUMNS, comma=False):
            values = map(text_or_none, texts)
            yield news_id, dict(zip(("category", "subcategory", "title"), values, strict=True))
