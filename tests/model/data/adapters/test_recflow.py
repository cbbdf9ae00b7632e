from pathlib import Path

import pyarrow as pa
import pyarrow.feather as feather
import pytest

from model.data.adapters.dataset_list import convert_dataset
from model.data.adapters.log_builder import BuilderOptions
from model.data.errors import SourceInvalid
from model.data.log.limits import ListLimits
from tests.model.data.adapters.converted_log import ConvertedLog

START_MS = 1_705_104_000_000
STAGES = (
    "realshow",
    "rerank_pos",
    "rerank_neg",
    "rank_pos",
    "rank_neg",
    "coarse_neg",
    "prerank_neg",
)


def video_row(request: int, video: int, stages: str, **values: object) -> dict[str, object]:
    """One row of all_stage; every signal that is not given is 0."""
    row: dict[str, object] = {name: int(name in stages.split()) for name in STAGES}
    row |= {
        "request_id": request,
        "request_timestamp": START_MS + 1000 * request,
        "user_id": request % 4,
        "device_id": 7,
        "age": 2,
        "gender": None if request % 4 == 3 else 1,
        "province": 5,
        "video_id": video,
        "author_id": video % 5,
        "category_level_one": video % 3,
        "category_level_two": video % 7,
        "upload_type": 1,
        "upload_timestamp": START_MS // 1000 - 3600,
        "duration": 1000 * video,
        "rank_index": 0,
        "rerank_index": 0,
        "playing_time": 0,
        "effective_view": 0,
        "long_view": 0,
    }
    return row | values


def whole_request(request: int) -> list[dict[str, object]]:
    """Six videos: two shown, one reranked and not shown, one ranked low, two filtered early."""
    return [
        video_row(request, 6, "prerank_neg"),
        video_row(request, 5, "coarse_neg", rank_index=-1, rerank_index=-1),
        video_row(request, 4, "rank_neg", rank_index=30),
        video_row(request, 1, "realshow rerank_pos rank_pos", rank_index=2, rerank_index=1),
        video_row(request, 3, "rerank_neg rank_pos", rank_index=3, rerank_index=12),
        video_row(
            request,
            2,
            "realshow rerank_pos rank_neg",
            rank_index=11,
            rerank_index=0,
            effective_view=1,
            long_view=request % 2,
        ),
    ]


def write_recflow(folder: Path, extra: list[dict[str, object]] | None = None) -> Path:
    """Two days; the rows of a request lie apart."""
    (folder / "all_stage").mkdir(parents=True)
    for day, requests in (("2024-01-13", range(15)), ("2024-01-14", range(15, 30))):
        rows = sorted(
            (row for request in requests for row in whole_request(request)),
            key=lambda row: -int(str(row["video_id"])),
        )
        if day == "2024-01-14":
            rows += extra or []
        feather.write_feather(
            pa.Table.from_pylist(rows), folder / "all_stage" / f"{day}.feather", chunksize=40
        )
    return folder


def test_recflow_keeps_candidates_of_every_stage(tmp_path: Path):
    log = ConvertedLog("recflow", write_recflow(tmp_path / "recflow"))

    row = log.requests["7"]
    assert row["candidates"] == ["1", "3", "2", "4", "5", "6"]
    assert row["shown"] == ["2", "1"]
    assert row["clicks"] == [1, 0]
    assert row["conversions"] == [1, 0]
    assert row["timestamp"] == START_MS + 7000
    assert row["age_hours"] == pytest.approx([1 + 7 / 3600] * 6)
    assert log.entities("items.parquet", "item_id")["4"]["author_id"] == "4"
    users = log.entities("users.parquet", "user_id")
    assert users["3"]["gender"] is None
    assert users["1"]["province"] == "5"
    assert log.tables.max_candidates == 6
    assert log.tables.slots == 2
    assert "30 requests read, 30 written" in log.summary


def test_recflow_awkward_requests_are_counted(tmp_path: Path):
    extra = [video_row(100, v, "prerank_neg") for v in range(3)]
    extra += [video_row(101, v, "realshow", rank_index=None) for v in (8, 8, 9)]
    extra += [video_row(102, v, "prerank_neg") for v in range(600)]
    extra += [video_row(102, 700, "realshow", rank_index=None)]
    log = ConvertedLog("recflow", write_recflow(tmp_path / "recflow", extra))

    rows = log.requests
    assert rows["101"]["candidates"] == ["8", "9"]
    assert len(rows["102"]["candidates"]) == 500
    assert rows["102"]["shown"] == ["700"]
    assert "dropped 1: nothing shown" in log.summary
    assert "101 candidates beyond the limit left out" in log.summary
    assert "1 repeated items left out" in log.summary


def test_recflow_row_without_id_names_its_place(tmp_path: Path):
    source = write_recflow(tmp_path / "recflow", [video_row(100, 1, "realshow", user_id=None)])

    with pytest.raises(SourceInvalid, match=r"2024-01-14\.feather, line 91, column 'user_id'"):
        convert_dataset("recflow", source, tmp_path / "log", BuilderOptions(limits=ListLimits()))
