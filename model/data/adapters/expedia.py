"""Expedia, Personalize Hotel Searches (ICDM 2013): hotel lists, part of them in random order.

Source: https://www.kaggle.com/c/expedia-personalized-sort/data. Terms: the competition's rules,
accepted with an account.
File: train.csv (comma-separated with a header, gaps are NULL). test.csv has no labels.

- Request: the rows of one `srch_id`. `date_time` has no zone and is read as UTC. No user ids: each
  search is a user of its own, so this log has no histories.
- Shown: hotels by `position`. The slots of the log close gaps between positions.
- Candidates: the same hotels. With random_bool = 0, in the order shown. With random_bool = 1 the
  order shown was random and upstream's is not known: candidates are shuffled by the seed. These
  searches separate place from relevance; elsewhere place and upstream's order are the same. The
  field `random_order` marks them (send "0" when serving).
- Clicks: click_bool or booking_bool. Conversions: booking_bool.
- Fields: price, promotion, scores, distance and competitors of a hotel in this search; country,
  stars and brand of the hotel; site, country, past stars and prices of the visitor; the search.
- Not used, since it is known only later: gross_bookings_usd. No hotel has a title.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model.data.adapters.grouping import group_rows
from model.data.adapters.impression_row import ImpressionRow
from model.data.adapters.log_builder import LogBuilder
from model.data.adapters.source_files import (
    TextSource,
    find_files,
    first_of_each,
    text_or_none,
)
from model.data.log.log_info import LogInfo

_KEY_COLUMNS = (
    "srch_id",
    "date_time",
    "random_bool",
    "prop_id",
    "position",
    "click_bool",
    "booking_bool",
)
_CONTEXT_CATEGORIES = (
    "site_id",
    "visitor_location_country_id",
    "srch_destination_id",
    "srch_saturday_night_bool",
)
_CONTEXT_NUMBERS = (
    "visitor_hist_starrating",
    "visitor_hist_adr_usd",
    "srch_length_of_stay",
    "srch_booking_window",
    "srch_adults_count",
    "srch_children_count",
    "srch_room_count",
)
_HOTEL_NUMBERS = (
    "price_usd",
    "promotion_flag",
    "prop_review_score",
    "prop_location_score1",
    "prop_location_score2",
    "prop_log_historical_price",
    "srch_query_affinity_score",
    "orig_destination_distance",
)
_COMPETITORS = tuple(f"comp{number}_rate" for number in range(1, 9))
_ITEM_CATEGORIES = ("prop_country_id", "prop_brand_bool")
_COLUMNS = (
    *_KEY_COLUMNS,
    *_CONTEXT_CATEGORIES,
    *_CONTEXT_NUMBERS,
    *_HOTEL_NUMBERS,
    *_COMPETITORS,
)
_COMPETITOR_NAMES = ("competitors_dearer", "competitors_cheaper")
_TIME_FORMAT = "%Y-%m-%d %H:%M:%S"


def convert_expedia(source: Path, builder: LogBuilder) -> None:
    """Fill the builder from a folder with train.csv."""
    path = find_files(source, "train.csv")[0]
    rows = _rows(TextSource(path, _COLUMNS))
    for search_id, hotels in group_rows(rows, builder.scratch_dir):
        _add(builder, search_id, sorted(hotels, key=lambda hotel: hotel[0]))
    builder.finish(LogInfo(name="expedia"), items=first_of_each(_items(path)))


def _rows(file: TextSource) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Search id and (position, hotel, click, booking, time, random, context, numbers)."""
    for row in file:
        search_id, time, is_random, hotel, position, click, booking, *rest = row
        categories = [text_or_none(rest.pop(0)) for _ in _CONTEXT_CATEGORIES]
        context = [file.number(rest.pop(0), name) for name in _CONTEXT_NUMBERS]
        numbers = [file.number(rest.pop(0), name) for name in _HOTEL_NUMBERS]
        rates = [file.number(text, name) for text, name in zip(rest, _COMPETITORS, strict=True)]
        yield (
            search_id,
            (
                file.integer(position, "position"),
                hotel,
                file.flag(click, "click_bool"),
                file.flag(booking, "booking_bool"),
                _milliseconds(file, time),
                file.flag(is_random, "random_bool"),
                (*categories, *context),
                (*numbers, float(rates.count(1)), float(rates.count(-1))),
            ),
        )


def _add(builder: LogBuilder, search_id: str, hotels: list[tuple[Any, ...]]) -> None:
    offered = list(hotels)
    is_random = hotels[0][5]
    if is_random:
        random.Random(f"{builder.options.seed}/{search_id}").shuffle(offered)
    names = (*_CONTEXT_CATEGORIES, *_CONTEXT_NUMBERS)
    columns = zip(*(hotel[7] for hotel in offered), strict=True)
    builder.add(
        ImpressionRow(
            request_id=search_id,
            user_id=f"search-{search_id}",
            timestamp=hotels[0][4],
            candidates=[hotel[1] for hotel in offered],
            shown=[hotel[1] for hotel in hotels],
            clicks=[hotel[2] | hotel[3] for hotel in hotels],
            conversions=[hotel[3] for hotel in hotels],
            context={
                **dict(zip(names, hotels[0][6], strict=True)),
                "random_order": str(is_random),
            },
            candidate_values=dict(zip((*_HOTEL_NUMBERS, *_COMPETITOR_NAMES), columns, strict=True)),
        )
    )


def _milliseconds(file: TextSource, time: str) -> int:
    try:
        moment = datetime.strptime(time[:19], _TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        file.fail("date_time", f"{time!r} is not YYYY-MM-DD HH:MM:SS")
    return int(moment.timestamp() * 1000)


def _items(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    file = TextSource(path, ("prop_id", "prop_starrating", *_ITEM_CATEGORIES))
    for hotel, stars, *texts in file:
        values: dict[str, Any] = dict(zip(_ITEM_CATEGORIES, map(text_or_none, texts), strict=True))
        yield hotel, {**values, "prop_starrating": file.number(stars, "prop_starrating")}
