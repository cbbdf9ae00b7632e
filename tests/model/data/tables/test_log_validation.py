"""Logs that training cannot use: `check` and preparation raise one error with a stable code."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.data.cli import main
from model.data.errors import LogError
from model.data.tables.table_builder import build_log_tables
from tests.toy_log import TOY_START_MS, write_toy_log

LONG_ID = "i" * 257
SHARD = "impressions/part-0.parquet"


def _set_column(path: Path, column: str, value: Callable[[int, Any], object]) -> None:
    table = pq.read_table(path)
    at = table.column_names.index(column)
    values = [value(row, old) for row, old in enumerate(table[column].to_pylist())]
    pq.write_table(table.set_column(at, column, pa.array(values, table[column].type)), path)


def _rename_item(log: Path, old: str, new: str) -> None:
    """Rename an item everywhere in the log, so that only its new id can be wrong."""
    _set_column(log / "items.parquet", "item_id", lambda _, x: new if x == old else x)
    for column in ("candidates", "shown"):
        _set_column(log / SHARD, column, lambda _, ids: [new if x == old else x for x in ids])


def _rename_user(log: Path, old: str, new: str) -> None:
    for file in ("users.parquet", SHARD):
        _set_column(log / file, "user_id", lambda _, x: new if x == old else x)


def _use_numeric_title(log: Path) -> None:
    path = log / "schema.toml"
    path.write_text(path.read_text().replace('title = "title"', 'title = "price"'))


def _keep_rows(log: Path, count: int) -> None:
    pq.write_table(pq.read_table(log / SHARD).slice(0, count), log / SHARD)


BROKEN = {
    "categorical_field_all_null": (
        lambda log: _set_column(log / "items.parquet", "brand", lambda *_: None),
        ("field_without_values", "items.parquet", None, "brand"),
    ),
    "multi_field_all_empty": (
        lambda log: _set_column(log / "items.parquet", "tags", lambda *_: []),
        ("field_without_values", "items.parquet", None, "tags"),
    ),
    "user_field_all_null": (
        lambda log: _set_column(log / "users.parquet", "segment", lambda *_: None),
        ("field_without_values", "users.parquet", None, "segment"),
    ),
    "context_field_only_in_test": (
        lambda log: _set_column(log / SHARD, "device", lambda row, x: x if row > 50 else None),
        ("field_without_values", "impressions", None, "device"),
    ),
    "one_timestamp": (
        lambda log: _set_column(log / SHARD, "timestamp", lambda *_: TOY_START_MS),
        ("part_too_small", "impressions", None, "timestamp"),
    ),
    "twelve_rows": (
        lambda log: _keep_rows(log, 12),
        ("too_few_requests", "impressions", None, None),
    ),
    "no_rows": (
        lambda log: _keep_rows(log, 0),
        ("too_few_requests", "impressions", None, None),
    ),
    "empty_item_id": (
        lambda log: _rename_item(log, "i3", ""),
        ("invalid_id", "items.parquet", 3, "item_id"),
    ),
    "long_item_id": (
        lambda log: _rename_item(log, "i3", LONG_ID),
        ("invalid_id", "items.parquet", 3, "item_id"),
    ),
    "empty_user_id": (
        lambda log: _rename_user(log, "u2", ""),
        ("invalid_id", "users.parquet", 2, "user_id"),
    ),
    "long_user_id": (
        lambda log: _rename_user(log, "u2", LONG_ID),
        ("invalid_id", "users.parquet", 2, "user_id"),
    ),
    "long_request_id": (
        lambda log: _set_column(
            log / SHARD, "request_id", lambda row, x: LONG_ID if row == 4 else x
        ),
        ("invalid_id", SHARD, 4, "request_id"),
    ),
    "numeric_title": (
        _use_numeric_title,
        ("display_not_text", "items.parquet", None, "price"),
    ),
}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write_toy_log(tmp_path / "log", requests=60, files=1)


@pytest.mark.parametrize("name", BROKEN)
def test_build_log_tables_unusable_log_reports_rule(log: Path, name: str):
    change, expected = BROKEN[name]
    change(log)

    with pytest.raises(LogError) as caught:
        build_log_tables(log)

    error = caught.value
    assert (error.code, error.file, error.row, error.column) == expected


@pytest.mark.parametrize("name", BROKEN)
def test_check_unusable_log_reports_preparation_error(log: Path, name: str, capsys):
    change, _ = BROKEN[name]
    change(log)
    with pytest.raises(LogError) as caught:
        build_log_tables(log)

    assert main(["check", str(log)]) == 2
    assert str(caught.value) in capsys.readouterr().err


def test_longest_id_of_service_is_accepted(log: Path):
    _rename_item(log, "i3", "\N{GRINNING FACE}" * 256)

    assert "\N{GRINNING FACE}" * 256 in build_log_tables(log).items.ids
