"""Taobao Ad (Ali_Display_Ad_Click): display ads shown to users, with clicks.

Source: https://tianchi.aliyun.com/dataset/56 (fields as listed there, in copies of that page on
github.com). Terms: those of Tianchi for the data set, accepted with an account.
Files: raw_sample.csv, ad_feature.csv and user_profile.csv (comma-separated with a header). The
behavior log is not read.

- Request: the log has none. A list is what one user saw at one `pid` (place on the site) within
  five minutes of the first ad; 50 ads at most. Lists of five minutes are those of LibRerank
  (github.com/LibRerank-Community/LibRerank). Seconds.
- Candidates and shown items: those ads in order of time, then of the file. Upstream's order is
  that order: place and upstream's order cannot be separated.
- Clicks: clk. Conversions: not known.
- Fields: category, campaign, customer, brand and price of an ad; counts of shows and clicks on the
  days before; pid; groups and levels of the user. No ad has a title.
- Dropped: lists of one ad (their shows and clicks are counted). Left out: rows whose clk and
  nonclk contradict each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model.data.adapters.grouping import group_rows
from model.data.adapters.impression_row import ImpressionRow
from model.data.adapters.log_builder import LogBuilder
from model.data.adapters.source_files import TextSource, find_files, text_or_none
from model.data.log.log_info import LogInfo

_COLUMNS = ("user", "pid", "time_stamp", "adgroup_id", "clk", "nonclk")
_AD_COLUMNS = ("cate_id", "campaign_id", "customer", "brand")
_USER_COLUMNS = (
    "cms_segid",
    "cms_group_id",
    "final_gender_code",
    "age_level",
    "pvalue_level",
    "shopping_level",
    "occupation",
    "new_user_class_level",
)
_WINDOW_S, _MAX_ADS = 300, 50
AdShow = tuple[int, str, int]  # seconds, ad, click


def convert_taobao_ad(source: Path, builder: LogBuilder) -> None:
    """Fill the builder from a folder of Taobao Ad."""
    sample, ads, users = (
        find_files(source, f"{name}.csv")[0]
        for name in ("raw_sample", "ad_feature", "user_profile")
    )
    shows = _shows(TextSource(sample, _COLUMNS), builder)
    for key, rows in group_rows(shows, builder.scratch_dir):
        user_id, _, pid = key.rpartition("/")
        for window in split_windows(sorted(rows, key=lambda row: row[0])):
            _add(builder, user_id, pid, window)
    builder.finish(LogInfo(name="taobao_ad"), items=_ads(ads), users=_users(users))


def _shows(file: TextSource, builder: LogBuilder) -> Iterator[tuple[str, AdShow]]:
    for user, pid, time, ad, clk, nonclk in file:
        click = file.flag(clk, "clk")
        if click == file.flag(nonclk, "nonclk"):
            builder.notes["rows whose clk and nonclk contradict each other"] += 1
        else:
            yield f"{user}/{pid}", (file.integer(time, "time_stamp"), ad, click)


def split_windows(shows: list[AdShow]) -> Iterator[list[AdShow]]:
    """Split the ads that one user saw, in order of time, into windows of five minutes."""
    window: list[AdShow] = []
    for show in shows:
        if window and (len(window) == _MAX_ADS or show[0] - window[0][0] > _WINDOW_S):
            yield window
            window = []
        window.append(show)
    if window:
        yield window


def _add(builder: LogBuilder, user_id: str, pid: str, window: list[AdShow]) -> None:
    times, ads, clicks = zip(*window, strict=True)
    request = ImpressionRow(
        request_id=f"{user_id}-{pid}-{times[0]}-{ads[0]}",
        user_id=user_id,
        timestamp=1000 * times[0],
        candidates=ads,
        shown=ads,
        clicks=clicks,
        context={"pid": pid},
    )
    if len(window) == 1:
        return builder.drop("lists of one ad", request)
    return builder.add(request)


def _ads(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    file = TextSource(path, ("adgroup_id", "price", *_AD_COLUMNS))
    for ad, price, *texts in file:
        values: dict[str, Any] = dict(zip(_AD_COLUMNS, map(text_or_none, texts), strict=True))
        yield ad, {**values, "price": file.number(price, "price")}


def _users(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for user, *texts in TextSource(path, ("userid", *_USER_COLUMNS)):
        yield user, dict(zip(_USER_COLUMNS, map(text_or_none, texts), strict=True))
