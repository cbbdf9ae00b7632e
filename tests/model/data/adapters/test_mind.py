from pathlib import Path

import pytest

from model.data.adapters.dataset_list import convert_dataset
from model.data.adapters.log_builder import BuilderOptions
from model.data.errors import SourceInvalid
from model.data.log.limits import ListLimits
from tests.model.data.adapters.converted_log import ConvertedLog
from tests.relist_command import run_relist

PLAIN_REQUESTS = 30


def write_mind(folder: Path, extra: list[str] | None = None) -> Path:
    """MIND's two files: 30 plain lines, then awkward ones."""
    folder.mkdir(parents=True)
    news = [f'N{i}\tcat{i % 3}\tsub{i % 5}\tTitle "{i}\t\t\t[]\t[]' for i in range(12)]
    news += ["N3\tother\tother\tA repeated id\t\t\t[]\t[]"]
    (folder / "news.tsv").write_bytes("\r\n".join(news).encode() + b"\r\n")
    lines = [
        f"{n}\tU{n % 4}\t11/{11 + n // 24}/2019 {n % 12 + 1}:00:00 {'AM' if n % 24 < 12 else 'PM'}"
        f"\tN1 N4 N2\tN{n % 12}-1 N{(n + 1) % 12}-0 N{(n + 5) % 12}-0"
        for n in range(PLAIN_REQUESTS)
    ]
    lines += extra or []
    (folder / "behaviors.tsv").write_bytes("\n".join(lines).encode("latin-1") + b"\n")
    return folder


AWKWARD = [
    "0\tU1\t11/13/2019 8:36:57 AM\t\tN1-0",
    "100\tU9\t11/13/2019 8:36:57 AM\t\tN1-0 N1-1 N99-0",
    "101\tU9\t11/13/2019 8:36:57 AM\tN1\t",
    "102\tU9\t11/13/2019 8:36:57 AM\tN1\tN1 N2",
    "103\tUé\t11/13/2019 8:36:57 AM\tN404\tN5-1",
]


def test_mind_awkward_lines_are_dropped_and_counted(tmp_path: Path):
    log = ConvertedLog("mind", write_mind(tmp_path / "mind", AWKWARD))

    rows = log.requests
    assert len(rows) == PLAIN_REQUESTS + 2
    assert rows["100"]["candidates"] == rows["100"]["shown"] == ["N1", "N99"]
    assert rows["100"]["clicks"] == [1, 0]
    for count in (
        "35 requests read, 32 written",
        "dropped 1: no candidates",
        "dropped 1: impressions without labels",
        "dropped 1: repeated request id",
        "1 repeated items left out",
        "1 lines with bytes that are not UTF-8",
        "1 item_ids without a row of their own",
    ):
        assert count in log.summary


def test_mind_fields_hold_what_was_known(tmp_path: Path):
    log = ConvertedLog("mind", write_mind(tmp_path / "mind"))

    row = log.requests["5"]
    # hour 6 of the first day: before it, N5 was shown in requests 0 and 4, N6 in 1
    assert row["candidates"] == ["N5", "N6", "N10"]
    assert row["shows_before"] == [2, 1, 0]
    assert row["clicks_before"] == [0, 0, 0]
    assert row["timestamp"] == 1_573_452_000_000  # 2019-11-11 06:00 UTC
    assert row["history_length"] == 3
    assert row["history_categories"] == ["cat1", "cat2"]
    items = log.entities("items.parquet", "item_id")
    assert items["N3"]["category"] == "cat0"
    assert items["N3"]["title"] == 'Title "3'
    assert log.tables.input_widths["candidates"] > 0
    assert "upstream_rank" not in [f.name for f in log.tables.schema.candidate_fields]


def test_mind_subfolders_prefix_request_ids(tmp_path: Path):
    write_mind(tmp_path / "mind" / "train")
    write_mind(tmp_path / "mind" / "dev")

    assert {"train-0", "dev-0"} <= set(ConvertedLog("mind", tmp_path / "mind").requests)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1\tU1", "behaviors.tsv, line 31: 2 columns where 5 are expected"),
        ("1\tU1\t2019-11-11\t\tN1-0", "behaviors.tsv, line 31, column 'time': '2019-11-11' is not"),
    ],
)
def test_mind_broken_line_names_its_place(line: str, words: str, tmp_path: Path):
    source = write_mind(tmp_path / "mind", [line])

    with pytest.raises(SourceInvalid) as error:
        convert_dataset("mind", source, tmp_path / "log", BuilderOptions(limits=ListLimits()))

    assert words in str(error.value)
    assert not (tmp_path / "log").exists()


def test_sample_keeps_whole_users_within_limit(tmp_path: Path):
    source = write_mind(tmp_path / "mind")
    everything = ConvertedLog("mind", source).requests
    log = ConvertedLog("mind", source, max_requests=25, seed=3)

    users = {row["user_id"] for row in log.requests.values()}
    assert 0 < len(log.requests) <= 25
    assert log.requests.keys() == {k for k, r in everything.items() if r["user_id"] in users}
    assert f"dropped {30 - len(log.requests)}: not in the sample" in log.summary
    # counters cover the requests outside the sample, too
    for request_id, row in log.requests.items():
        assert row["shows_before"] == everything[request_id]["shows_before"]


def test_convert_command_writes_log_and_summary(tmp_path: Path, capsys):
    source = write_mind(tmp_path / "mind")

    assert run_relist("log", "convert", "mind", source, tmp_path / "log", "--max-requests", 28) == 0
    assert "30 requests read" in capsys.readouterr().out
    assert run_relist("log", "check", tmp_path / "log") == 0


def test_convert_command_lists_datasets(capsys):
    assert run_relist("log", "convert", "--list") == 0

    assert "mind  " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        ("mond", "known data sets are "),
        ("mind", "holds no file behaviors.tsv or */behaviors.tsv"),
    ],
)
def test_convert_command_invalid_input_exits_2(dataset: str, words: str, tmp_path: Path, capsys):
    (tmp_path / "source").mkdir()

    assert run_relist("log", "convert", dataset, tmp_path / "source", tmp_path / "log") == 2

    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
