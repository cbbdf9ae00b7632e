from pathlib import Path

import pytest

from model.data.adapters.dataset_list import convert_dataset
from model.data.adapters.log_builder import BuilderOptions
from model.data.errors import SourceInvalid
from model.data.log.limits import ListLimits
from tests.model.data.adapters.converted_log import ConvertedLog

START_S = 1_494_028_800  # 2017-05-06 UTC
DAY_S = 86_400
PID = "430548_1007"


def write_taobao_ad(folder: Path, extra: list[str] | None = None) -> Path:
    """Three files; rows of users are mixed, and the profile's last header has a blank."""
    folder.mkdir()
    rows = [
        f"{user},{START_S + n * DAY_S // 4 + second + user},{(user + second + n) % 9},{PID}"
        f",{1 - c},{c}"
        for second, c in ((120, 0), (0, 1), (60, 0))
        for n in range(8)
        for user in range(4)
    ]
    header = "user,time_stamp,adgroup_id,pid,nonclk,clk"
    (folder / "raw_sample.csv").write_text("\n".join([header, *rows, *(extra or [])]) + "\n")
    ads = [f"{a},{a % 3},{a % 5},{a % 2},{'NULL' if a == 1 else a},{9.5 * a}" for a in range(8)]
    ads += ["3,1,1,1,1,1.0"]
    header = "adgroup_id,cate_id,campaign_id,customer,brand,price"
    (folder / "ad_feature.csv").write_text("\n".join([header, *ads]) + "\n")
    users = [f"{user},0,5,2,2,{'' if user else 1},3,0,{'' if user else 2}" for user in range(3)]
    header = (
        "userid,cms_segid,cms_group_id,final_gender_code,age_level,pvalue_level,shopping_level,"
        "occupation,new_user_class_level "
    )
    (folder / "user_profile.csv").write_text("\n".join([header, *users]) + "\n")
    return folder


def test_taobao_ad_windows_become_requests(tmp_path: Path):
    log = ConvertedLog("taobao_ad", write_taobao_ad(tmp_path / "taobao"))

    rows = log.requests
    assert len(rows) == 32
    start = START_S + DAY_S  # the fifth window of user 0, n = 4
    row = rows[f"0-{PID}-{start}-4"]
    # second 0: ad n; second 60: 60 + n = 64 -> 1; second 120: 124 -> 7 (modulo 9)
    assert row["candidates"] == ["4", "1", "7"]
    assert row["clicks"] == [1, 0, 0]
    assert row["timestamp"] == 1000 * start
    assert row["conversions"] is None
    # the day before, first ads were user + n for 4 users and 4 windows: 4 is met 3 times
    assert row["clicks_before"] == [3, 2, 0]
    items = log.entities("items.parquet", "item_id")
    assert items["1"]["brand"] is None
    assert items["3"]["price"] == 28.5
    assert log.entities("users.parquet", "user_id")["0"]["new_user_class_level"] == "2"
    assert len(log.tables) == 32
    assert "1 user_ids without a row of their own" in log.summary
    assert "1 repeated rows of item_ids left out" in log.summary


def test_taobao_ad_awkward_rows_are_counted(tmp_path: Path):
    late = START_S + 5 * DAY_S
    extra = [
        f"1,{late},3,{PID},1,1",
        f"1,{late},3,{PID},1,0",
        f"2,{late},5,{PID},0,1",
        f"2,{late + 300},5,{PID},1,0",
        f"2,{late + 301},6,{PID},1,0",
        f"2,{late},7,430539_1007,1,0",
    ]
    log = ConvertedLog("taobao_ad", write_taobao_ad(tmp_path / "taobao", extra))

    row = log.requests[f"2-{PID}-{late}-5"]
    assert row["candidates"] == ["5"]
    assert row["clicks"] == [1]
    assert "dropped 3: lists of one ad" in log.summary
    assert "1 rows whose clk and nonclk contradict each other" in log.summary


def test_taobao_ad_broken_time_names_its_place(tmp_path: Path):
    source = write_taobao_ad(tmp_path / "taobao", [f"1,noon,3,{PID},1,0"])

    with pytest.raises(SourceInvalid, match="line 98, column 'time_stamp': 'noon' is not a number"):
        convert_dataset("taobao_ad", source, tmp_path / "log", BuilderOptions(limits=ListLimits()))
