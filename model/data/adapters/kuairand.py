"""KuaiRand-1K, -27K and -Pure: short videos in a feed, with random exposures among them.

Source: https://kuairand.com (layout: github.com/chongminggao/KuaiRand, README). Terms: CC BY-SA
4.0.
Files, in the folder or in its folder data/: log_standard_*.csv, log_random_*.csv,
user_features_*.csv and video_features_basic_*.csv (comma-separated with a header).

- Request: the log has none. A list is a run of views of one user in one tab, in order of time; it
  ends after ten views, or at a pause of ten minutes. Times are milliseconds.
- Candidates and shown items: the views of the run. Upstream's order is the order seen: place and
  upstream's order cannot be separated, except for random exposures, which `randomized` marks.
- Clicks: is_click, which in tabs of one column is a valid play. Conversions: long_view of a
  clicked video.
- Fields: author, kinds, tags and duration of a video; `randomized` (send "0" when serving); tab;
  activity and ranges of counts of the user.
- Not used: video_features_statistic_*.csv, whose averages over the month include what came later.
- Dropped: runs of one video. Ids without a row in the feature files stay, with gaps.
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

_LOG_COLUMNS = (
    "user_id",
    "tab",
    "time_ms",
    "video_id",
    "is_click",
    "long_view",
    "is_rand",
)
_USER_COLUMNS = (
    "user_active_degree",
    "is_live_streamer",
    "is_video_author",
    "follow_user_num_range",
    "fans_user_num_range",
    "friend_user_num_range",
    "register_days_range",
)
_VIDEO_COLUMNS = ("author_id", "video_type", "upload_type", "music_type")
_RUN_LENGTH, _PAUSE_MS = 10, 600_000
View = tuple[int, str, int, int, str]  # time, video, click, conversion, randomized


def convert_kuairand(source: Path, builder: LogBuilder) -> None:
    """Fill the builder from a folder of KuaiRand."""
    folder = source / "data" if (source / "data").is_dir() else source
    logs = find_files(folder, "log_standard_*.csv", "log_random_*.csv")
    users = find_files(folder, "user_features_*.csv")
    videos = find_files(folder, "video_features_basic_*.csv")
    rows = (pair for path in logs for pair in _views(TextSource(path, _LOG_COLUMNS), builder))
    for key, views in group_rows(rows, builder.scratch_dir):
        user_id, _, tab = key.rpartition("/")
        for run in split_runs(sorted(views, key=lambda view: view[0])):
            _add(builder, user_id, tab, run)
    builder.finish(LogInfo(name="kuairand"), items=_videos(videos), users=_users(users))


def _views(file: TextSource, builder: LogBuilder) -> Iterator[tuple[str, View]]:
    for user_id, tab, time, video_id, click, long_view, randomized in file:
        clicked, long = file.flag(click, "is_click"), file.flag(long_view, "long_view")
        builder.notes["long views without a click"] += long > clicked
        moment = file.integer(time, "time_ms")
        yield f"{user_id}/{tab}", (moment, video_id, clicked, long & clicked, randomized)


def split_runs(views: list[View]) -> Iterator[list[View]]:
    """Split the views of one user, in order of time, at pauses and after ten views."""
    run: list[View] = []
    for view in views:
        if run and (len(run) == _RUN_LENGTH or view[0] - run[-1][0] > _PAUSE_MS):
            yield run
            run = []
        run.append(view)
    if run:
        yield run


def _add(builder: LogBuilder, user_id: str, tab: str, run: list[View]) -> None:
    times, videos, clicks, conversions, randomized = zip(*run, strict=True)
    if len(run) == 1:
        return builder.drop("runs of one video")
    return builder.add(
        ImpressionRow(
            request_id=f"{user_id}-{tab}-{times[0]}-{videos[0]}",
            user_id=user_id,
            timestamp=times[0],
            candidates=videos,
            shown=videos,
            clicks=clicks,
            conversions=conversions,
            context={"tab": tab},
            candidate_values={"randomized": randomized},
        )
    )


def _users(paths: list[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in paths:
        for user_id, *texts in TextSource(path, ("user_id", *_USER_COLUMNS)):
            yield user_id, dict(zip(_USER_COLUMNS, map(text_or_none, texts), strict=True))


def _videos(paths: list[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    wanted = ("video_id", "video_duration", "tag", *_VIDEO_COLUMNS)
    for path in paths:
        file = TextSource(path, wanted)
        for video_id, duration, tag, *texts in file:
            values: dict[str, Any] = dict(
                zip(_VIDEO_COLUMNS, map(text_or_none, texts), strict=True)
            )
            values["tags"] = [name for name in tag.split(",") if name]
            values["video_duration"] = file.number(duration, "video_duration")
            yield video_id, values
