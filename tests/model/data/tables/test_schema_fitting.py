from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.contract.encoding.encoder import FeatureEncoder
from model.contract.errors import SchemaError
from model.contract.schema.declared import ITEM_ID, USER_ID, parse_schema
from model.data.tables.schema_fitting import (
    TrainingColumns,
    fit_schema,
    quantile_edges,
    values_by_frequency,
)
from model.data.tables.split import TRAIN
from model.data.tables.table_cache import build_log_tables
from tests.toy_log import TOY_SCHEMA_TOML, enable_raw_scores, write_toy_log


def _field(lines: str, values: list[object]):
    declared = parse_schema(f'[[field]]\nname = "x"\nscope = "item"\n{lines}')
    part = TrainingColumns(item_ids=["a"], user_ids=["u"], columns={"x": pa.array(values)})
    return fit_schema(declared, part).field("x")


def test_values_by_frequency_breaks_ties_by_value():
    values = pa.array(["b", "c", "a", None, "c", "b", "d"])

    assert values_by_frequency(values, 10) == ("b", "c", "a", "d")
    assert values_by_frequency(values, 3) == ("b", "c", "a")


def test_quantile_edges_rise_and_balance_buckets():
    values = np.random.default_rng(0).lognormal(size=4_000)

    edges = quantile_edges(values, 8)

    assert len(edges) == 7
    assert all(a < b for a, b in pairwise(edges))
    held = np.bincount(np.searchsorted(edges, values, side="right"), minlength=8)
    assert held == pytest.approx(np.full(8, 500), abs=2)


def test_quantile_edges_repeated_values_leave_no_empty_bucket():
    values = np.array([1.0] * 80 + [2.0] * 9 + [7.0] * 11)

    edges = quantile_edges(values, 16)

    # the quantiles that are not 1 are 2 and 7: edges midway below each
    assert edges == (1.5, 4.5)
    assert quantile_edges(np.array([3.0, 3.0]), 4) == ()
    assert quantile_edges(np.array([]), 4) == ()


def test_quantile_edges_float32_and_decimal_share_bucket():
    decimals = np.round(np.linspace(0.1, 9.9, 99), 1)

    edges = quantile_edges(decimals.astype(np.float32).astype(np.float64), 16)

    logged = np.searchsorted(edges, decimals.astype(np.float32).astype(np.float64), "right")
    assert logged.tolist() == np.searchsorted(edges, decimals, "right").tolist()


def test_fit_schema_places_missing_and_unknown_values():
    categorical = 'kind = "categorical"\n'
    values: list[object] = ["a", "b", "a"]
    own = _field(categorical, values)
    named = _field(categorical + 'missing = "b"\nunknown = "a"', values)
    number = _field('kind = "numeric"\nbuckets = [0.0, 10.0]\nmissing = 12', [1.0])

    assert (own.missing, own.unknown) == (0, 1)
    assert (named.missing, named.unknown) == (2 + 1, 2 + 0)
    assert number.missing == 2 + 2
    with pytest.raises(SchemaError, match=r"field 'x'.missing: 'z' is not in the vocabulary"):
        _field(categorical + 'missing = "z"', values)


def test_fit_schema_uses_training_part_only(tmp_path: Path):
    log = write_toy_log(tmp_path, files=1, items=600, users=60)
    tables = build_log_tables(log)
    train = tables.part_rows(TRAIN)
    first_row, rows = tables.schema.block_starts[ITEM_ID], tables.items.rows[:, 0]

    offered = np.unique(
        np.concatenate([tables.candidates[r, : tables.cand_count[r]] for r in train])
    )
    known = np.flatnonzero(rows != first_row + 1)
    assert known.tolist() == offered.tolist()
    assert len(known) < len(rows), "every item is in training: nothing is tested"
    users = np.flatnonzero(tables.users.rows[:, 0] != tables.schema.block_starts[USER_ID] + 1)
    assert users.tolist() == np.unique(tables.user_index[train]).tolist()


def test_fit_schema_ignores_values_of_later_rows(tmp_path: Path):
    log = write_toy_log(tmp_path, files=1)
    before = build_log_tables(log)
    path = log / "impressions" / "part-0.parquet"
    table = pq.read_table(path)
    device, distance = table["device"].to_pylist(), table["distance"].to_pylist()
    device[-3:] = ["tablet"] * 3  # rows of the test part: the toy's times rise
    distance[-3:] = [[1e6 for _ in row] for row in distance[-3:]]
    table = table.set_column(8, "device", pa.array(device))
    pq.write_table(table.set_column(9, "distance", pa.array(distance)), path)

    after = build_log_tables(log)

    assert after.schema.hash == before.schema.hash
    assert after.user_rows[-1, -1] == after.schema.block_starts["device"] + 1


def test_fit_schema_raw_score_edges_use_training_part(tmp_path: Path):
    log = write_toy_log(tmp_path)
    enable_raw_scores(log)
    tables = build_log_tables(log)

    rows = pq.read_table(log / "impressions").to_pylist()
    rows.sort(key=lambda r: (r["timestamp"], r["request_id"]))
    of_part = [r["upstream_scores"] for r, p in zip(rows, tables.part, strict=True) if p == TRAIN]
    scores = np.array([s for row in of_part for s in row or [] if s is not None])
    field = tables.schema.field("upstream_raw_score")
    assert field.edges == quantile_edges(scores, 32)
    first = tables.schema.block_starts["upstream_raw_score"]
    (at,) = (a for a, r in enumerate(rows) if r["upstream_scores"] is None and a == 12)
    gaps = tables.candidate_rows[at, : len(rows[at]["candidates"]), 2]
    assert gaps.tolist() == [first] * len(gaps)


def test_fit_schema_column_order_matches_documentation(tmp_path: Path):
    schema = build_log_tables(write_toy_log(tmp_path)).schema

    assert [f.name for f in schema.fields] == [
        *("item_id", "brand", "price", "tags", "upstream_score", "upstream_rank", "distance"),
        *("clicked", "converted", "user_id", "segment", "device"),
    ]
    assert FeatureEncoder(schema).default_item_row.shape == (5,)
    assert parse_schema(TOY_SCHEMA_TOML).display == schema.display
