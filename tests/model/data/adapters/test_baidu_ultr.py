import gzip
from pathlib import Path

import pytest

from model.data.adapters.dataset_list import convert_dataset
from model.data.adapters.log_builder import BuilderOptions
from model.data.errors import SourceInvalid
from model.data.log.limits import ListLimits
from tests.model.data.adapters.converted_log import ConvertedLog


def query_line(number: int, tokens: str) -> str:
    return "\t".join([str(number), tokens.replace(" ", "\x01"), ""])


def result_line(position: object, url: str, title: str, click: object = 0, kind: str = "1") -> str:
    """A result of 31 columns; the columns after the click are not read."""
    texts = [str(position), url, title.replace(" ", "\x01"), "7\x018", kind, str(click)]
    return "\t".join([*texts, "-", "-", *["0"] * 23])


def write_baidu_ultr(folder: Path, extra: list[str] | None = None) -> Path:
    """One compressed part and one plain part; every third query repeats."""
    folder.mkdir()
    lines = []
    for n in range(24):
        lines += [
            query_line(n, f"7 {n % 3}"),
            result_line(2, f"url{n % 6}", f"{n % 3} 9 9"),
            result_line(1, f"url{(n + 1) % 6}", "7 5", click=1, kind="-" if n % 6 == 0 else "2"),
        ]
    with gzip.open(folder / "part-00001.gz", "wb") as file:
        file.write(("\n".join(lines) + "\n").encode())
    plain = [query_line(90, "5 5"), result_line(4, "url0", "5"), *(extra or [])]
    (folder / "part-00002").write_text("\n".join(plain) + "\n", encoding="utf-8")
    return folder


def test_baidu_ultr_queries_become_requests(tmp_path: Path):
    log = ConvertedLog("baidu_ultr", write_baidu_ultr(tmp_path / "baidu"))

    rows = log.requests
    assert rows["4"]["candidates"] == rows["4"]["shown"] == ["url5", "url4"]
    assert rows["4"]["clicks"] == [1, 0]
    assert rows["4"]["title_overlap"] == [0.5, 0.5]  # of 7 and 1: the first has 7, the second 1
    assert rows["4"]["abstract_overlap"] == [0.5, 0.5]
    assert rows["4"]["query_tokens"] == ["7", "1"]
    assert rows["4"]["user_id"] == rows["1"]["user_id"] != rows["2"]["user_id"]
    assert rows["24"]["timestamp"] - rows["4"]["timestamp"] == 20_000
    items = log.entities("items.parquet", "item_id")
    # the type of url1 is taken from its first line, in query 0, where it is missing
    assert items["url1"]["media_type"] is None
    assert items["url4"]["title_length"] == 2  # as in query 3, its first line
    assert len(log.tables) == 25


def test_baidu_ultr_awkward_lines_are_counted(tmp_path: Path):
    extra = [
        "91",
        query_line(92, ""),
        result_line(1, "-", "5"),
        result_line(2, "url3", "", click=1),
        result_line(3, "url3", "5"),
    ]
    log = ConvertedLog("baidu_ultr", write_baidu_ultr(tmp_path / "baidu", extra))

    row = log.requests["26"]
    assert row["candidates"] == ["url3"]
    assert row["clicks"] == [1]
    assert row["query_tokens"] == []
    assert "dropped 1: no candidates" in log.summary
    assert "1 results without a URL MD5" in log.summary


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1\turl\t5\t7", "part-00002, line 3: 4 columns; a query has up to 3"),
        (result_line("first", "url", "5"), "part-00002, line 3, column 'position': 'first'"),
        (result_line(1, "url", "5", click=3), "part-00002, line 3, column 'click': '3' is not"),
    ],
)
def test_baidu_ultr_broken_line_names_its_place(line: str, words: str, tmp_path: Path):
    source = write_baidu_ultr(tmp_path / "baidu", [line])

    with pytest.raises(SourceInvalid) as error:
        convert_dataset("baidu_ultr", source, tmp_path / "log", BuilderOptions(limits=ListLimits()))

    assert words in str(error.value)
