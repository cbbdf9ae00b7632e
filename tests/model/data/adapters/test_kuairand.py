from pathlib import Path

import pytest

from model.data.adapters.dataset_list import convert_dataset
from model.data.adapters.log_builder import BuilderOptions
from model.data.errors import SourceInvalid
from model.data.log.limits import ListLimits
from tests.model.data.adapters.converted_log import ConvertedLog

LOG_HEADER = (
    "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,"
    "is_hate,long_view,play_time_ms,duration_ms,profile_stay_time,comment_stay_time,"
    "is_profile_enter,is_rand,tab"
)
USER_HEADER = (
    "user_id,user_active_degree,is_lowactive_period,is_live_streamer,is_video_author,"
    "follow_user_num,follow_user_num_range,fans_user_num,fans_user_num_range,friend_user_num,"
    "friend_user_num_range,register_days,register_days_range"
)
VIDEO_HEADER = (
    "video_id,author_id,video_type,upload_dt,upload_type,visible_status,video_duration,"
    "server_width,server_height,music_id,music_type,tag"
)
START_MS = 1_649_400_000_000
HOUR_MS = 3_600_000


def view(user: int, video: int, time_ms: int, labels: str = "1,1", tab: int = 1, rand: int = 0):
    click, long_view = labels.split(",")
    return (
        f"{user},{video},20220408,400,{time_ms},{click},0,0,0,0,0,{long_view},900,1000,0,0,0,"
        f"{rand},{tab}"
    )


def write_kuairand(folder: Path, extra: list[str] | None = None) -> Path:
    """Logs in two files, rows of users mixed and out of order; features of users and videos."""
    data = folder / "data"
    data.mkdir(parents=True)
    rows = [
        view(
            user,
            10 * user + n,
            START_MS + hour * HOUR_MS + n + 9 * user,
            labels=("1,0", "0,0")[n % 2],
        )
        for hour in range(8)
        for n in (2, 0, 1)
        for user in range(4)
    ]
    standard = [LOG_HEADER, *rows, *(extra or [])]
    (data / "log_standard_4_08_to_4_21_1k.csv").write_text("\n".join(standard) + "\n")
    random = [LOG_HEADER, view(0, 777, START_MS + 3, labels="0,1", rand=1)]
    (data / "log_random_4_22_to_5_08_1k.csv").write_text("\r\n".join(random) + "\r\n")
    users = [f'{u},full_active,0,0,1,5,"(0,10]",2,"[1,10)",0,0,900,730+' for u in range(3)]
    (data / "user_features_1k.csv").write_text("\n".join([USER_HEADER, *users]) + "\n")
    videos = [
        f'{v},{v % 3},NORMAL,2022-01-01,Web,1,{"" if v == 1 else "9000.0"},7,9,1,4,"12,{v % 4}"'
        for v in range(40)
    ]
    (data / "video_features_basic_1k.csv").write_text("\n".join([VIDEO_HEADER, *videos]) + "\n")
    return folder


def test_kuairand_views_become_runs_in_time_order(tmp_path: Path):
    log = ConvertedLog("kuairand", write_kuairand(tmp_path / "kuairand"))

    rows = log.requests
    row = rows[f"0-1-{START_MS}-0"]
    assert row["candidates"] == row["shown"] == ["0", "1", "2", "777"]
    assert row["clicks"] == [1, 0, 1, 0]
    assert row["conversions"] == [0, 0, 0, 0]
    assert row["randomized"] == ["0", "0", "0", "1"]
    assert len(rows) == 8 * 4
    assert "1 long views without a click" in log.summary
    assert "1 item_ids without a row of their own" in log.summary
    items = log.entities("items.parquet", "item_id")
    assert items["1"]["video_duration"] is None
    assert items["2"]["tags"] == ["12", "2"]
    users = log.entities("users.parquet", "user_id")
    assert users["0"]["follow_user_num_range"] == "(0,10]"
    assert users["3"]["user_active_degree"] is None
    assert len(log.tables) == 32


def test_kuairand_runs_end_at_ten_views_and_pauses(tmp_path: Path):
    late = START_MS + 50 * HOUR_MS
    extra = [view(2, 20 + n, late + n) for n in range(12)]
    extra += [view(2, 5, late + HOUR_MS), view(2, 6, late + HOUR_MS + 1, tab=2)]
    log = ConvertedLog("kuairand", write_kuairand(tmp_path / "kuairand", extra))

    rows = log.requests
    assert len(rows[f"2-1-{late}-20"]["shown"]) == 10
    assert rows[f"2-1-{late + 10}-30"]["shown"] == ["30", "31"]
    assert "dropped 2: runs of one video" in log.summary


def test_kuairand_label_outside_0_and_1_names_its_place(tmp_path: Path):
    source = write_kuairand(tmp_path / "kuairand", [view(1, 1, START_MS, labels="2,0")])

    with pytest.raises(SourceInvalid, match="line 98, column 'is_click': '2' is not 0 or 1"):
        convert_dataset("kuairand", source, tmp_path / "log", BuilderOptions(limits=ListLimits()))
