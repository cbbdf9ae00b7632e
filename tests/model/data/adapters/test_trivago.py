from pathlib import Path

import pytest

from model.data.adapters.dataset_list import convert_dataset
from model.data.adapters.log_builder import BuilderOptions
from model.data.errors import SourceInvalid
from model.data.log.limits import ListLimits
from tests.model.data.adapters.converted_log import ConvertedLog

HEADER = (
    "user_id,session_id,timestamp,step,action_type,reference,platform,city,device,"
    "current_filters,impressions,prices"
)
CITY = '"Sydney, Australia"'
START_S = 1_541_030_400  # 2018-11-01 UTC
DAY_S = 86_400


def write_trivago(folder: Path, extra: list[str] | None = None) -> Path:
    """train.csv with a byte order mark, and item_metadata.csv."""
    folder.mkdir()
    lines = [HEADER]
    for n in range(25):
        start = f"U{n % 5},S{n},{START_S + n * DAY_S // 5}"
        lines += [
            f"{start},1,search for destination,{CITY},AU,{CITY},mobile,,,",
            f"{start},2,interaction item image,{n % 8},AU,{CITY},mobile,,,",
            f"{start},3,clickout item,{(n + 1) % 8},AU,{CITY},mobile,Spa|Pool,"
            f"{n % 8}|{(n + 1) % 8}|{(n + 3) % 8},{90 + n}|80|70",
        ]
    lines += extra or []
    (folder / "train.csv").write_text("\ufeff" + "\n".join(lines) + "\n", encoding="utf-8")
    items = [f"{i},Spa|{1 + i % 5} Star|WiFi (Öffentlich)" for i in range(7)] + ["3,Twice"]
    (folder / "item_metadata.csv").write_text(
        "\n".join(["item_id,properties", *items]) + "\n", encoding="utf-8"
    )
    return folder


def click_out(session: str, reference: str, impressions: str, prices: str, step: int = 1) -> str:
    return (
        f'U0,{session},{START_S + 9 * DAY_S},{step},clickout item,{reference},DE,"Köln",desktop,,'
        f"{impressions},{prices}"
    )


def test_trivago_click_outs_become_requests(tmp_path: Path):
    log = ConvertedLog("trivago", write_trivago(tmp_path / "trivago"))

    row = log.requests["S6-3"]
    assert len(log.requests) == 25
    assert row["candidates"] == row["shown"] == ["6", "7", "1"]
    assert row["clicks"] == [0, 1, 0]
    assert row["price"] == [96, 80, 70]
    assert row["touched_in_session"] == [1, 0, 0]
    assert row["filters"] == ["Spa", "Pool"]
    assert row["timestamp"] == 1000 * (START_S + 6 * DAY_S // 5)
    # the day before (requests 0 to 4) showed 6 in request 3, 7 in 4, and 1 in 0 and 1
    assert row["shows_before"] == [1, 1, 2]
    assert row["clicks_before"] == [0, 0, 1]
    items = log.entities("items.parquet", "item_id")
    assert items["3"] == {
        "item_id": "3",
        "stars": "4 Star",
        "properties": ["Spa", "4 Star", "WiFi (Öffentlich)"],
    }
    assert items["7"]["properties"] is None
    assert len(log.tables) == 25


def test_trivago_awkward_click_outs_are_counted(tmp_path: Path):
    extra = [
        click_out("A", "1", "", ""),
        click_out("B", "1", "1|2", "50"),
        click_out("C", "9", "1|2", "50|60"),
        click_out("D", "2", "2|1|2", "50||50"),
        click_out("D", "1", "2|1", "50|40"),
        click_out("E", "1", "1|2", "50|60"),
        click_out("E", "2", "1|2", "50|60", step=2),
    ]
    log = ConvertedLog("trivago", write_trivago(tmp_path / "trivago", extra))

    rows = log.requests
    assert rows["D-1"]["candidates"] == ["2", "1"]
    assert rows["D-1"]["price"] == [50, None]
    assert rows["E-2"]["clicked_in_session"] == [1, 0]
    for count in (
        "32 requests read, 28 written",
        "dropped 1: no candidates",
        "dropped 1: other numbers of prices than of items",
        "dropped 1: a click on an item that is not in the list",
        "dropped 1: repeated request id",
        "1 repeated rows of item_ids left out",
        "1 item_ids without a row of their own",
    ):
        assert count in log.summary


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (click_out("A", "1", "1|2", "50|cheap"), "train.csv, line 77, column 'prices': 'cheap'"),
        ("U0,S0,1", "train.csv, line 77: 3 columns where 12 are expected"),
    ],
)
def test_trivago_broken_line_names_its_place(line: str, words: str, tmp_path: Path):
    source = write_trivago(tmp_path / "trivago", [line])

    with pytest.raises(SourceInvalid) as error:
        convert_dataset("trivago", source, tmp_path / "log", BuilderOptions(limits=ListLimits()))

    assert words in str(error.value)
