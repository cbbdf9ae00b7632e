"""EB-NeRD, the news dataset of Ekstra Bladet (RecSys Challenge 2024): news in view, with clicks.

Source: https://recsys.eb.dk (layout: its page "dataset"; arXiv 2410.03432). Terms: those of the
publisher, accepted at the download.
Files: articles.parquet, and train/ and validation/ with behaviors.parquet and history.parquet. The
test set has no clicks and is not read.

- Request: one row of behaviors.parquet. `impression_time` has no zone and is read as UTC.
- Candidates and shown items: `article_ids_inview`. The publisher shuffled the ids ("The order of
  the IDs have been shuffled"), so places and upstream's order are not known: the schema declares
  no upstream field, and a place effect in this log means nothing.
- Clicks: `article_ids_clicked`. Conversions: not known.
- Fields: category, type, topics, sentiment and premium of an article; its age in hours; counts of
  shows and clicks in the hours before; device, subscription and the stated age, gender, postcode;
  of the user the length of the click history and its most frequent categories. A user in both
  histories has the earlier one, since the later one covers the requests of the training week.
- Not used, since they are known only later: read time, scroll percentage, the article's totals.
- Dropped: rows without articles in view, and rows with a click on an article not in view.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model.data.adapters.impression_row import ImpressionRow
from model.data.adapters.item_counters import HOUR_MS
from model.data.adapters.log_builder import LogBuilder
from model.data.adapters.source_files import ArrowSource, find_files, text_or_none
from model.data.log.log_info import LogInfo

_BEHAVIOR_COLUMNS = (
    "impression_id",
    "user_id",
    "impression_time",
    "article_ids_inview",
    "article_ids_clicked",
)
_CONTEXT_COLUMNS = ("device_type", "is_sso_user", "is_subscriber", "gender", "postcode", "age")
_ARTICLE_COLUMNS = ("article_id", "title", "category_str", "published_time")
_ARTICLE_FIELDS = ("article_type", "sentiment_label", "premium")
_SPLITS = ("train", "validation")
_TOP_CATEGORIES, _LIST_SIZE = 4, 10


def convert_ebnerd(source: Path, builder: LogBuilder) -> None:
    """Fill the builder from a folder of EB-NeRD."""
    articles = find_files(source, "articles.parquet")[0]
    find_files(source, *(f"{split}/behaviors.parquet" for split in _SPLITS))
    category, published = {}, {}
    for article_id, _, name, time in ArrowSource(articles, _ARTICLE_COLUMNS):
        category[article_id], published[article_id] = text_or_none(name), _milliseconds(time)
    for split in _SPLITS:
        path = source / split / "behaviors.parquet"
        if path.exists():
            for row in ArrowSource(path, _BEHAVIOR_COLUMNS, optional=_CONTEXT_COLUMNS):
                _add(builder, row, split, published)
    histories = [source / split / "history.parquet" for split in _SPLITS]
    builder.finish(
        LogInfo(name="ebnerd", list_size=_LIST_SIZE),
        items=_articles(articles),
        users=_histories([path for path in histories if path.exists()], category),
    )


def _add(
    builder: LogBuilder, row: tuple[Any, ...], split: str, published: Mapping[int, int | None]
) -> None:
    impression_id, user_id, time, in_view, clicked, *context = row
    timestamp = _milliseconds(time)
    shown, clicks = in_view or [], set(clicked or [])
    if impression_id is None or user_id is None or timestamp is None or None in shown:
        return builder.drop("a gap in an id or the time")
    if not clicks <= set(shown):
        return builder.drop("a click on an article not in view")
    ids = [str(article) for article in shown]
    return builder.add(
        ImpressionRow(
            request_id=f"{split}-{impression_id}-{user_id}",
            user_id=str(user_id),
            timestamp=timestamp,
            candidates=ids,
            shown=ids,
            clicks=[int(article in clicks) for article in shown],
            context=_context(context),
            candidate_values={
                "age_hours": [_age_hours(timestamp, published.get(a)) for a in shown]
            },
        )
    )


def _context(values: list[Any]) -> dict[str, Any]:
    context: dict[str, Any] = dict(zip(_CONTEXT_COLUMNS, map(text_or_none, values), strict=True))
    age = values[_CONTEXT_COLUMNS.index("age")]
    return {**context, "age": None if age is None or age != age else float(age)}


def _age_hours(timestamp: int, published: int | None) -> float | None:
    return None if published is None else (timestamp - published) / HOUR_MS


def _milliseconds(time: datetime | None) -> int | None:
    if time is None:
        return None
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    return int(aware.timestamp() * 1000)


def _articles(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    optional = (*_ARTICLE_FIELDS, "topics")
    for row in ArrowSource(path, _ARTICLE_COLUMNS, optional=optional):
        article_id, title, category, _, *fields, topics = row
        values = dict(zip(_ARTICLE_FIELDS, map(text_or_none, fields), strict=True))
        yield (
            str(article_id),
            {"title": title, "category": text_or_none(category), "topics": topics, **values},
        )


def _histories(
    paths: list[Path], category: Mapping[int, str | None]
) -> Iterator[tuple[str, dict[str, Any]]]:
    seen: set[str] = set()
    for path in paths:
        for user_id, articles in ArrowSource(path, ("user_id", "article_id_fixed")):
            read = articles or []
            names = Counter(category[a] for a in read if category.get(a))
            if str(user_id) not in seen:  # later histories of a user are not repeated rows
                seen.add(str(user_id))
                yield (
                    str(user_id),
                    {
                        "history_length": len(read),
                        "history_categories": [n for n, _ in names.most_common(_TOP_CATEGORIES)],
                    },
                )
