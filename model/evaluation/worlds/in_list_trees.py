"""LightGBM lambdarank with in-list context: the strongest simple ranker of a log.

Each numeric field and the upstream score enter raw, as rank, as z-score and as gap to the best of
the request's candidates. It reads the files of simulated logs, where every request is full.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from model.baselines.tree_features import TreeFeatures
from model.contract.schema.declared import UPSTREAM_FIELDS, FieldKind, FieldScope
from model.data.log.log_reader import IMPRESSIONS_DIR
from model.data.tables.batches import BatchLoader
from model.data.tables.log_tables import LogTables
from model.data.tables.split import TRAIN, VALIDATION

UPSTREAM_SCORES = "upstream_scores"
NUM_TREES, PATIENCE = 500, 30
_BATCH_SIZE = 1024
Floats = NDArray[np.float32]
Rows = NDArray[np.intp]


def in_list_tree_lists(tables: LogTables, log_dir: Path, rows: Rows, seed: int) -> NDArray[Any]:
    """(R, M) lists of the highest scores for rows of full requests; trains the trees first."""
    features = InListFeatures(tables, log_dir)
    booster = _train(tables, features, seed)
    lists = []
    for first in range(0, len(rows), _BATCH_SIZE):
        table = features.table(rows[first : first + _BATCH_SIZE])
        flat = table.reshape(-1, table.shape[-1])
        score = np.asarray(booster.predict(flat, num_threads=1)).reshape(table.shape[:2])
        lists.append(np.argsort(-score, axis=1, kind="stable")[:, : tables.slots])
    return np.concatenate(lists)


class InListFeatures:
    """Feature table of requests: encoded fields, and numbers relative to the other candidates."""

    def __init__(self, tables: LogTables, log_dir: Path) -> None:
        self._loader = BatchLoader(tables)
        self._coded = TreeFeatures(tables.schema)
        self._numbers = _numeric_fields(tables, log_dir)
        self.categorical_columns = self._coded.categorical_columns

    def table(self, rows: Rows) -> Floats:
        """(R, N, columns) float32."""
        coded = self._coded.feature_table(self._loader.gather(rows).request)
        parts = [coded, *(in_list_context(values[rows]) for values in self._numbers)]
        return np.concatenate(parts, axis=-1)


def in_list_context(values: NDArray[np.floating[Any]]) -> Floats:
    """(R, N) numbers -> (R, N, 4): raw, rank in the list, z-score, gap to the largest.

    A missing number is NaN and has no z-score and no gap.
    """
    order = np.argsort(np.argsort(-values, axis=1, kind="stable"), axis=1, kind="stable")
    centered = values - np.nanmean(values, axis=1, keepdims=True)
    score = centered / np.maximum(np.nanstd(values, axis=1, keepdims=True), 1e-9)
    gap = np.nanmax(values, axis=1, keepdims=True) - values
    return np.stack([values, order, score, gap], axis=-1).astype(np.float32)


def _numeric_fields(tables: LogTables, log_dir: Path) -> list[Floats]:
    """(R, N) values of the upstream score and of all numeric item and candidate fields."""
    in_request = _numeric_names(tables, FieldScope.CANDIDATE)
    columns = [UPSTREAM_SCORES, *in_request]
    logged = pq.read_table(
        log_dir / IMPRESSIONS_DIR, columns=["timestamp", "request_id", *columns]
    ).sort_by([("timestamp", "ascending"), ("request_id", "ascending")])
    values = [
        np.asarray(logged[name].combine_chunks().flatten(), dtype=np.float32).reshape(
            len(tables), tables.max_candidates
        )
        for name in columns
    ]
    of_items = _numeric_names(tables, FieldScope.ITEM)
    return [*values, *(tables.items.numbers[name][tables.candidates] for name in of_items)]


def _numeric_names(tables: LogTables, scope: FieldScope) -> list[str]:
    fields = tables.declared_schema.fields_in_scope(scope)
    return [
        field.name
        for field in fields
        if field.kind is FieldKind.NUMERIC and field.name not in UPSTREAM_FIELDS
    ]


def _train(tables: LogTables, features: InListFeatures, seed: int) -> lightgbm.Booster:
    train = _shown_dataset(tables, features, tables.part_rows(TRAIN))
    validation = _shown_dataset(tables, features, tables.part_rows(VALIDATION), reference=train)
    return lightgbm.train(
        {
            "objective": "lambdarank",
            "metric": "ndcg",
            "eval_at": [min(tables.slots, 10)],
            "lambdarank_truncation_level": tables.slots,
            "num_leaves": 31,
            "learning_rate": 0.05,
            "min_data_in_leaf": 50,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbosity": -1,
        },
        train,
        num_boost_round=NUM_TREES,
        valid_sets=[validation],
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
    )


def _shown_dataset(
    tables: LogTables,
    features: InListFeatures,
    rows: Rows,
    reference: lightgbm.Dataset | None = None,
) -> lightgbm.Dataset:
    """Features and clicks of shown items, grouped by list; context is of all candidates."""
    parts = []
    for first in range(0, len(rows), _BATCH_SIZE):
        some = rows[first : first + _BATCH_SIZE]
        shown = tables.shown[some].astype(np.int64)[..., None]
        parts.append(np.take_along_axis(features.table(some), shown, axis=1))
    table = np.concatenate(parts)
    return lightgbm.Dataset(
        table.reshape(-1, table.shape[-1]),
        np.asarray(tables.clicks[rows]).reshape(-1).astype(np.int32),
        group=np.full(len(rows), tables.slots),
        categorical_feature=features.categorical_columns,
        reference=reference,
        params={"verbosity": -1},
    )
