"""RecFlow, a multi-stage log of Kuaishou: shown videos and those that each stage filtered out.

Source: https://github.com/RecFlow-ICLR/RecFlow (layout: its README; arXiv 2410.20868). Terms: CC
BY-SA 4.0.
Files: all_stage/*.feather, one a day. The other folders are derived from them and are not read.

- Request: the rows of one request_id. `request_timestamp` is read as milliseconds, as in the
  authors' code; `upload_timestamp` as seconds.
- Candidates: every video of the request, shown or not, so that the losses on upstream's exposure
  have candidates that were not shown. First those that reached the rank stage, by rank_index; then
  coarse_neg; then prerank_neg and the rest, in the order of the file. Only the order of rank_index
  is used: whether it starts at 0 or 1, and what it holds for other stages, is not documented. A
  list above the limit keeps its shown and its first candidates.
- Shown: realshow = 1, by rerank_index. Upstream is the rank stage and the reranker chose the list,
  so place and upstream's order differ. Scores are not in the files.
- Clicks: effective_view. Conversions: long_view of a clicked video.
- Fields: author, categories, upload type and duration of a video; its age in hours; age, gender and
  province of the user. No video has a title.
- Dropped: requests without a shown video.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from model.data.adapters.grouping import group_rows
from model.data.adapters.impression_row import ImpressionRow
from model.data.adapters.item_counters import HOUR_MS
from model.data.adapters.log_builder import LogBuilder
from model.data.adapters.source_files import ArrowSource, find_files, first_of_each, text_or_none
from model.data.log.log_info import LogInfo

_RANKED = ("realshow", "rerank_pos", "rerank_neg", "rank_pos", "rank_neg")
_COLUMNS = (
    "request_id",
    "video_id",
    "user_id",
    "request_timestamp",
    "upload_timestamp",
    "rank_index",
    "rerank_index",
    "effective_view",
    "long_view",
    "coarse_neg",
    *_RANKED,
)
_USER_COLUMNS = ("age", "gender", "province")
_ITEM_COLUMNS = ("author_id", "category_level_one", "category_level_two", "upload_type")
_LAST = 1 << 40  # sorts an index that is missing or negative behind all others
Video = tuple[int, int, int, str, bool, int, int, float | None, str, int]


def convert_recflow(source: Path, builder: LogBuilder) -> None:
    """Fill the builder from a folder of RecFlow."""
    days = find_files(source / "all_stage", "*.feather")
    for day in days:
        for request_id, videos in group_rows(
            _videos(ArrowSource(day, _COLUMNS)), builder.scratch_dir
        ):
            _add(builder, request_id, videos)
    builder.finish(
        LogInfo(name="recflow"),
        items=first_of_each(chain.from_iterable(map(_items, days))),
        users=first_of_each(chain.from_iterable(map(_users, days))),
    )


def _videos(file: ArrowSource) -> Iterator[tuple[str, Video]]:
    """Request id, and sort keys and values of one video."""
    for row in file:
        request_id, video_id, user_id, time, upload, rank, rerank, click, long, coarse, *flags = row
        for column, value in zip(_COLUMNS[:4], row, strict=False):
            if value is None:
                file.fail(column, "must not be missing")
        stage = 0 if any(flag == 1 for flag in flags) else 1 if coarse == 1 else 2
        clicked = int(click == 1)
        yield (
            str(request_id),
            (
                stage,
                _index(rank) if stage == 0 else 0,
                _index(rerank),
                str(video_id),
                flags[0] == 1,
                clicked,
                clicked & int(long == 1),
                None if not upload else (time - 1000 * upload) / HOUR_MS,
                str(user_id),
                int(time),
            ),
        )


def _index(value: float | None) -> int:
    return _LAST if value is None or not value >= 0 else int(value)


def _add(builder: LogBuilder, request_id: str, videos: list[Video]) -> None:
    offered = sorted(videos, key=lambda video: video[:2])
    kept = _within_limit(offered, builder.options.limits.max_candidates)
    builder.notes["candidates beyond the limit left out"] += len(offered) - len(kept)
    shown = sorted((video for video in kept if video[4]), key=lambda video: video[2])
    *_, user_id, time = videos[0]
    builder.add(
        ImpressionRow(
            request_id=request_id,
            user_id=user_id,
            timestamp=time,
            candidates=[video[3] for video in kept],
            shown=[video[3] for video in shown],
            clicks=[video[5] for video in shown],
            conversions=[video[6] for video in shown],
            candidate_values={"age_hours": [video[7] for video in kept]},
        )
    )


def _within_limit(offered: list[Video], limit: int) -> list[Video]:
    """The shown candidates and the first others, in order, `limit` at most."""
    others = limit - sum(video[4] for video in offered)
    kept = []
    for video in offered:
        if video[4] or others > 0:
            kept.append(video)
            others -= not video[4]
    return kept


def _items(day: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for video_id, duration, *values in ArrowSource(day, ("video_id", "duration", *_ITEM_COLUMNS)):
        texts = dict(zip(_ITEM_COLUMNS, map(text_or_none, values), strict=True))
        yield str(video_id), {"duration": duration, **texts}


def _users(day: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for user_id, *values in ArrowSource(day, ("user_id", *_USER_COLUMNS)):
        yield str(user_id), dict(zip(_USER_COLUMNS, map(text_or_none, values), strict=True))
