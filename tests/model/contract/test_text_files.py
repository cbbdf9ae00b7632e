import json
from pathlib import Path

import pytest

from model.contract.text_files import NotUtf8Text, read_json_lines, read_utf8_text, split_lines

SEPARATORS = "\u2028\u2029\u0085\x0b\x0c\x1c"


@pytest.mark.parametrize(
    ("text", "lines"), [("", []), ("a", ["a"]), ("a\n", ["a"]), ("a\n\nb\n", ["a", "", "b"])]
)
def test_split_lines_final_line_feed_starts_none(text: str, lines: list[str]):
    assert split_lines(text) == lines


def test_read_json_lines_keeps_unicode_separators(tmp_path: Path):
    rows = [{"title": f"a{SEPARATORS}b"}, {"title": "c"}]
    path = tmp_path / "rows.jsonl"
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8", newline="\n")

    assert list(read_json_lines(path)) == rows
    assert [json.loads(line) for line in split_lines(text)] == rows


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "latin-1"])
def test_read_utf8_text_other_encoding_is_rejected(tmp_path: Path, encoding: str):
    (tmp_path / "x.toml").write_text("name = 'caf\u00e9'", encoding=encoding)

    with pytest.raises(NotUtf8Text, match="save the file as UTF-8"):
        read_utf8_text(tmp_path / "x.toml")
