"""trivago RecSys Challenge 2019: hotel lists at the moment of a click-out, with prices.

Source: https://recsys.trivago.cloud (layout: github.com/recsyschallenge/2019, the page
docs/problem_definition.md). Terms: those of the challenge, accepted with an account.
Files: train.csv and item_metadata.csv (comma-separated with a header).

- Request: one row with the action "clickout item". Other actions are not requests. Seconds, UTC.
- Candidates and shown items: `impressions`, the items displayed. Their order in the file is taken
  as the order shown; the layout's page does not say so. Nothing else is known of upstream: place
  and upstream's order cannot be separated.
- Clicks: the item of `reference`. Every list has one. Conversions: not known.
- Fields: the price at that moment; counts of shows and clicks on the days before; what the
  session did with the item before the click-out (a click-out, another interaction), where the rows
  of a session follow one another; platform,
  device, city and the filters in use; properties of the item. No item has a title.
- Dropped: click-outs without impressions, with other numbers of prices than items, or on an item
  that is not in the list.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model.data.adapters.impression_row import ImpressionRow
from model.data.adapters.log_builder import LogBuilder
from model.data.adapters.source_files import TextSource, find_files, text_or_none
from model.data.log.log_info import LogInfo

_COLUMNS = (
    "user_id",
    "session_id",
    "timestamp",
    "step",
    "action_type",
    "reference",
    "platform",
    "city",
    "device",
    "current_filters",
    "impressions",
    "prices",
)
_CLICK_OUT, _INTERACTION = "clickout item", "interaction item"
_KEPT_PROPERTIES = 16
_STARS = frozenset(f"{number} Star" for number in range(1, 6))


def convert_trivago(source: Path, builder: LogBuilder) -> None:
    """Fill the builder from a folder of the challenge."""
    file = TextSource(find_files(source, "train.csv")[0], _COLUMNS)
    metadata = find_files(source, "item_metadata.csv")[0]
    session = _Session("")
    for row in file:
        if row[1] != session.session_id:  # rows of a session follow one another
            session = _Session(row[1])
        action, reference = row[4], row[5]
        if action == _CLICK_OUT:
            _add(builder, file, row, session)
            session.clicked.add(reference)
        elif action.startswith(_INTERACTION):
            session.touched.add(reference)
    builder.notes["lines with bytes that are not UTF-8"] += file.odd_rows
    builder.finish(LogInfo(name="trivago"), items=_items(metadata))


class _Session:
    """What a session did so far: item ids that were clicked out, and touched otherwise."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.clicked: set[str] = set()
        self.touched: set[str] = set()


def _add(builder: LogBuilder, file: TextSource, row: tuple[str, ...], session: _Session) -> None:
    user_id, session_id, seconds, step, _, reference, platform, city, device, *lists = row
    filters, shown, prices = (_split(text) for text in lists)
    if len(prices) != len(shown):
        return builder.drop("other numbers of prices than of items")
    if shown and reference not in shown:
        return builder.drop("a click on an item that is not in the list")
    return builder.add(
        ImpressionRow(
            request_id=f"{session_id}-{step}",
            user_id=user_id,
            timestamp=1000 * file.integer(seconds, "timestamp"),
            candidates=shown,
            shown=shown,
            clicks=[int(item == reference) for item in shown],
            context={
                "platform": text_or_none(platform),
                "city": text_or_none(city),
                "device": text_or_none(device),
                "filters": filters,
            },
            candidate_values={
                "price": [file.number(price, "prices") for price in prices],
                "clicked_in_session": [float(item in session.clicked) for item in shown],
                "touched_in_session": [float(item in session.touched) for item in shown],
            },
        )
    )


def _split(text: str) -> list[str]:
    return text.split("|") if text else []


def _items(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for item_id, properties in TextSource(path, ("item_id", "properties")):
        names = _split(properties)
        stars = next((name for name in names if name in _STARS), None)
        yield item_id, {"stars": stars, "properties": names[:_KEPT_PROPERTIES]}
