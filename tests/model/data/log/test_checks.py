"""Each rule of the canonical log, broken once in a log that is otherwise valid."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.data import errors
from model.data.log.limits import ListLimits
from model.data.log.log_reader import read_log
from tests.toy_log import write_toy_log

FILE = "impressions/part-1.parquet"
ROW = 8  # of the second file: its rows are counted from 0 again


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write_toy_log(tmp_path, requests=40, all_labels=True)


def _edit(path: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    table = pq.read_table(path)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


def _first(row: dict[str, Any], column: str, value: object) -> None:
    row[column] = [value, *row[column][1:]]


def _no_click(row: dict[str, Any]) -> None:
    row["clicks"] = [0] * len(row["clicks"])
    row["conversions"] = [0, 1] + [0] * (len(row["clicks"]) - 2)


BROKEN = {
    "lists_unequal": (
        errors.UnequalLengths,
        "clicks",
        lambda r: r["clicks"].append(0),
        "5 values for 4 in 'shown'",
    ),
    "scores_unequal": (
        errors.UnequalLengths,
        "upstream_scores",
        lambda r: r["upstream_scores"].pop(),
        "11 values for 12 in 'candidates'",
    ),
    "feature_unequal": (
        errors.UnequalLengths,
        "distance",
        lambda r: r["distance"].pop(),
        "11 values for 12 in 'candidates'",
    ),
    "candidate_twice": (
        errors.DuplicateItem,
        "candidates",
        lambda r: _first(r, "candidates", r["candidates"][-1]),
        "occurs twice in the list",
    ),
    "shown_twice": (
        errors.DuplicateItem,
        "shown",
        lambda r: _first(r, "shown", r["shown"][-1]),
        "occurs twice in the list",
    ),
    "shown_not_offered": (
        errors.ShownNotOffered,
        "shown",
        lambda r: _first(
            r, "shown", next(f"i{i}" for i in range(60) if f"i{i}" not in r["candidates"])
        ),
        "is not among the row's candidates",
    ),
    "shown_unknown_item": (
        errors.ShownNotOffered,
        "shown",
        lambda r: _first(r, "shown", "nothing"),
        "'nothing' is not among the row's candidates",
    ),
    "click_two": (errors.BadLabel, "clicks", lambda r: _first(r, "clicks", 2), "2 is not 0 or 1"),
    "click_minus": (
        errors.BadLabel,
        "clicks",
        lambda r: _first(r, "clicks", -1),
        "-1 is not 0 or 1",
    ),
    "conversion_two": (
        errors.BadLabel,
        "conversions",
        lambda r: _first(r, "conversions", 2),
        "2 is not 0 or 1",
    ),
    "conversion_without_click": (
        errors.ConversionWithoutClick,
        "conversions",
        _no_click,
        "value 1 converted but was not clicked",
    ),
    "seconds": (
        errors.BadTimestamp,
        "timestamp",
        lambda r: r.update(timestamp=1_700_000_000),
        "1700000000 is not in Unix milliseconds",
    ),
    "microseconds": (
        errors.BadTimestamp,
        "timestamp",
        lambda r: r.update(timestamp=1_700_000_000_000_000),
        "is not in Unix milliseconds",
    ),
    "request_twice": (
        errors.RepeatedRequest,
        "request_id",
        lambda r: r.update(request_id="q0"),
        "'q0' occurs more than once",
    ),
    "unknown_item": (
        errors.UnknownItem,
        "candidates",
        lambda r: _first(r, "candidates", "nothing"),
        "'nothing' is not in items.parquet",
    ),
    "unknown_user": (
        errors.UnknownUser,
        "user_id",
        lambda r: r.update(user_id="u999"),
        "'u999' is not in users.parquet",
    ),
    "no_candidates": (
        errors.EmptyList,
        "candidates",
        lambda r: r.update(candidates=[], upstream_scores=[], distance=[]),
        "the list is empty",
    ),
    "nothing_shown": (
        errors.EmptyList,
        "shown",
        lambda r: r.update(shown=[], clicks=[], conversions=[]),
        "the list is empty",
    ),
    "nan_score": (
        errors.BadNumber,
        "upstream_scores",
        lambda r: _first(r, "upstream_scores", float("nan")),
        "nan is not a finite number",
    ),
    "infinite_score": (
        errors.BadNumber,
        "upstream_scores",
        lambda r: _first(r, "upstream_scores", float("-inf")),
        "-inf is not a finite number",
    ),
    "nan_feature": (
        errors.BadNumber,
        "distance",
        lambda r: _first(r, "distance", float("nan")),
        "nan is not a finite number",
    ),
    "no_user": (
        errors.MissingValue,
        "user_id",
        lambda r: r.update(user_id=None),
        "must not be null",
    ),
    "no_clicks": (
        errors.MissingValue,
        "clicks",
        lambda r: r.update(clicks=None),
        "must not be null",
    ),
    "null_inside": (
        errors.MissingValue,
        "candidates",
        lambda r: _first(r, "candidates", None),
        "holds a null",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_read_log_invalid_row_reports_location_and_rule(log: Path, name: str):
    error, column, change, rule = BROKEN[name]
    _edit(log / FILE, lambda rows: change(rows[ROW]))

    with pytest.raises(errors.LogError) as caught:
        read_log(log)

    error_raised = caught.value
    assert type(error_raised) is error
    assert (error_raised.file, error_raised.row, error_raised.column) == (FILE, ROW, column)
    assert rule in error_raised.rule
    assert str(error_raised) == f"{FILE}, row {ROW}, column {column!r}: {error_raised.rule}"


def test_read_log_toy_log_is_valid(log: Path):
    rows = read_log(log).impressions

    assert len(rows.timestamp) == 40
    assert len(set(rows.candidates.row_lengths)) > 1
    assert (rows.conversions == -1).any()


@pytest.mark.parametrize(
    "column", ["request_id", "candidates", "clicks", "conversions", "device", "distance"]
)
def test_read_log_missing_column_is_reported(log: Path, column: str):
    table = pq.read_table(log / FILE)
    pq.write_table(table.drop_columns([column]), log / FILE)

    with pytest.raises(errors.MissingColumn, match=rf"part-1\.parquet, column '{column}'"):
        read_log(log)


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("timestamp", pa.array(["now"] * 20), "whole numbers"),
        ("timestamp", pa.array([1.7e12] * 20), "whole numbers"),
        ("user_id", pa.array([1] * 20), "text"),
        ("clicks", pa.array([[0.5]] * 20), "lists of whole numbers"),
        ("candidates", pa.array(["i1"] * 20), "lists of text"),
        ("device", pa.array([1] * 20), "text"),
        ("distance", pa.array([["far"]] * 20), "lists of numbers"),
    ],
)
def test_read_log_wrong_column_type_is_reported(
    log: Path, column: str, values: pa.Array, words: str
):
    table = pq.read_table(log / FILE)
    index = table.column_names.index(column)
    pq.write_table(table.set_column(index, column, values), log / FILE)

    with pytest.raises(errors.WrongType, match=rf"must hold {words}( \(int64\))?, not ") as caught:
        read_log(log)
    assert (caught.value.file, caught.value.column) == (FILE, column)


def test_read_log_equivalent_types_give_equal_values(log: Path):
    table = pq.read_table(log / FILE)
    plain = read_log(log).impressions
    for column, kind in {
        "clicks": pa.large_list(pa.uint8()),
        "conversions": pa.large_list(pa.bool_()),
        "candidates": pa.large_list(pa.dictionary(pa.int32(), pa.string())),
        "user_id": pa.dictionary(pa.int32(), pa.string()),
        "upstream_scores": pa.list_(pa.float64()),
    }.items():
        index = table.column_names.index(column)
        table = table.set_column(
            index, column, pa.array(_as(table[column].to_pylist(), kind), kind)
        )
    pq.write_table(table, log / FILE)

    other = read_log(log).impressions

    assert other.clicks.tolist() == plain.clicks.tolist()
    assert other.conversions.tolist() == plain.conversions.tolist()
    assert other.candidates.values.tolist() == plain.candidates.values.tolist()
    assert other.user_index.tolist() == plain.user_index.tolist()


def _as(rows: list[Any], kind: pa.DataType) -> list[Any]:
    if kind != pa.large_list(pa.bool_()):
        return rows
    return [row and [bool(value) for value in row] for row in rows]


@pytest.mark.parametrize(
    ("limits", "column", "rule"),
    [
        (ListLimits(max_candidates=11), "candidates", "12 items are more than the limit of 11"),
        (ListLimits(max_shown=3), "shown", "4 items are more than the limit of 3"),
    ],
)
def test_read_log_list_over_limit_is_reported(
    log: Path, limits: ListLimits, column: str, rule: str
):
    with pytest.raises(errors.ListTooLong) as caught:
        read_log(log, limits)
    assert (caught.value.row, caught.value.column, caught.value.rule) == (0, column, rule)


@pytest.mark.parametrize(
    ("file", "column"), [("items.parquet", "item_id"), ("users.parquet", "user_id")]
)
def test_read_log_duplicate_entity_id_is_reported(log: Path, file: str, column: str):
    _edit(log / file, lambda rows: rows[5].update({column: rows[2][column]}))

    with pytest.raises(errors.RepeatedId) as caught:
        read_log(log)
    assert (caught.value.file, caught.value.row, caught.value.column) == (file, 5, column)


def test_read_log_infinite_item_feature_is_reported(log: Path):
    _edit(log / "items.parquet", lambda rows: rows[3].update(price=float("inf")))

    with pytest.raises(errors.BadNumber, match=r"items\.parquet, row 3, column 'price'"):
        read_log(log)


@pytest.mark.parametrize("file", ["items.parquet", "users.parquet", FILE])
def test_read_log_invalid_parquet_is_reported(log: Path, file: str):
    (log / file).write_text("not parquet")

    with pytest.raises(errors.LogUnreadable, match="not a readable Parquet file") as caught:
        read_log(log)
    assert caught.value.file == file


@pytest.mark.parametrize("file", ["items.parquet", "users.parquet"])
def test_read_log_missing_file_is_reported(log: Path, file: str):
    (log / file).unlink()

    with pytest.raises(errors.LogUnreadable, match="no such file"):
        read_log(log)


def test_read_log_without_impressions_is_reported(log: Path):
    for path in (log / "impressions").iterdir():
        path.unlink()

    with pytest.raises(errors.LogUnreadable, match="impressions"):
        read_log(log)


@pytest.mark.parametrize(
    ("change", "error", "column"),
    [
        (lambda r: r["clicks"].pop(), errors.UnequalLengths, "clicks"),
        (lambda r: r.update(request_id="other"), errors.UnequalLengths, "clicks"),
        (lambda r: _first(r, "conversions", 3), errors.BadLabel, "conversions"),
        (
            lambda r: r.update(clicks=[1 - c for c in r["clicks"]]),
            errors.LabelsDisagree,
            "clicks",
        ),
    ],
)
def test_candidate_labels_mismatching_request_are_reported(
    log: Path, change: Callable[[dict[str, Any]], None], error: type[errors.LogError], column: str
):
    _edit(log / "truth.parquet", lambda rows: change(rows[9]))

    with pytest.raises(errors.LogError) as caught:
        read_log(log)
    assert type(caught.value) is error
    assert (caught.value.file, caught.value.row) == ("truth.parquet", 9)
    assert caught.value.column == column


def test_log_error_codes_are_unique():
    leaves = errors.LogError.__subclasses__()
    assert len({leaf.code for leaf in leaves}) == len(leaves) == 23


def test_log_error_reference_lists_every_error():
    reference = errors.log_error_reference()

    assert {entry.code for entry in reference} == {
        error.code for error in errors.LogError.__subclasses__()
    }
    assert len({entry.cure for entry in reference}) == len(reference)
    for entry in reference:
        assert entry.meaning.endswith("."), entry
        assert entry.cure.endswith("."), entry
