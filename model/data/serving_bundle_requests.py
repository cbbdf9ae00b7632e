"""`requests.jsonl`: real requests of the test part in wire format, with what is known of answers.

Each user's first test row comes before any second one: only for the first do the store's blobs
hold exactly the sessions that the log's tables give.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from model.data.log.log_reader import CanonicalLog, read_log
from model.data.log.ragged import IntArray
from model.data.tables.log_tables import LogTables
from model.data.tables.split import TEST


def write_example_requests(tables: LogTables, log_dir: Path, path: Path, count: int) -> None:
    """Write up to `count` lines."""
    rows = example_request_rows(tables)[:count]
    log = read_log(log_dir)
    ids = pa.array(tables.request_ids[rows].tolist(), pa.large_string())
    places = np.asarray(pc.index_in(ids, value_set=log.impressions.request_ids), dtype=np.int64)
    with path.open("w", encoding="utf-8") as file:
        for row, place in zip(rows, places, strict=True):
            line = {
                "request": _request(log, int(place)),
                "labels": _labels(tables, int(row)),
                "split": "test",
                "timestamp": int(tables.timestamp[row]),
            }
            file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")


def example_request_rows(tables: LogTables) -> IntArray:
    """Test rows: the first of every user by time, then all others by time."""
    test = tables.part_rows(TEST)
    first = np.zeros(len(test), dtype=bool)
    first[np.unique(tables.user_index[test], return_index=True)[1]] = True
    return np.concatenate([test[first], test[~first]])


def _request(log: CanonicalLog, place: int) -> dict[str, Any]:
    """One row of the log as the body of POST /rerank, candidates as columns."""
    rows = log.impressions
    held = rows.candidates.value_slice(place, place + 1)
    items = log.items.ids.take(pa.array(rows.candidates.values[held]))
    columns: dict[str, Any] = {"item_id": items.to_pylist()}
    scores = rows.upstream_scores[held]
    if not np.isnan(scores).all():
        columns["score"] = [None if np.isnan(s) else float(s) for s in scores]
    width = held.stop - held.start
    features = {
        name: column.slice(held.start, width).to_pylist()
        for name, column in rows.candidate_values.items()
    }
    if features:
        columns["features"] = features
    body: dict[str, Any] = {
        "request_id": rows.request_ids[place].as_py(),
        "user_id": log.users.ids[int(rows.user_index[place])].as_py(),
        "candidates": columns,
    }
    if rows.context_values:
        body["context"] = {
            name: column[place].as_py() for name, column in rows.context_values.items()
        }
    return body


def _labels(tables: LogTables, row: int) -> dict[str, Any]:
    """Labels by candidate where the log knows them, and of what was shown."""
    n, m = int(tables.cand_count[row]), int(tables.shown_count[row])
    items = tables.candidates[row, tables.shown[row, :m]]
    return {
        "clicks": _known(tables.candidate_clicks, row, n),
        "conversions": _known(tables.candidate_conversions, row, n),
        "shown": [tables.items.ids[i] for i in items],
        "shown_clicks": tables.clicks[row, :m].tolist(),
    }


def _known(labels: NDArray[np.int8] | None, row: int, count: int) -> list[int | None] | None:
    if labels is None:
        return None
    return [None if label < 0 else int(label) for label in labels[row, :count]]
