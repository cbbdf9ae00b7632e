"""`requests.jsonl`: requests of the test part in wire format, with their known labels.

The first test row of each user precedes all second rows. Only for the first row do user records
hold exactly the sessions that the tables give.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from model.data.atomic_files import replace_file
from model.data.log.log_reader import CanonicalLog, read_log
from model.data.log.ragged import IntArray
from model.data.tables.log_tables import LogTables
from model.data.tables.split import TEST


def write_example_requests(tables: LogTables, log_dir: Path, path: Path, count: int) -> None:
    """Write up to `count` JSON lines in UTF-8, each ended by a line feed.

    Raises:
        WriteFailed: the file system refused a write.
    """
    rows = example_request_rows(tables)[:count]
    log = read_log(log_dir)
    ids = pa.array(tables.request_ids[rows].tolist(), pa.large_string())
    log_rows = np.asarray(pc.index_in(ids, value_set=log.impressions.request_ids), dtype=np.int64)
    with replace_file(path) as fresh, fresh.open("w", encoding="utf-8", newline="\n") as file:
        for row, log_row in zip(rows, log_rows, strict=True):
            line = {
                "request": _request(log, int(log_row)),
                "labels": _labels(tables, int(row)),
                "split": "test",
                "timestamp": int(tables.timestamp[row]),
            }
            file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")


def example_request_rows(tables: LogTables) -> IntArray:
    """(T,) int64 test rows: the first row of each user by time, then all others by time."""
    test = tables.part_rows(TEST)
    first = np.zeros(len(test), dtype=bool)
    first[np.unique(tables.user_index[test], return_index=True)[1]] = True
    return np.concatenate([test[first], test[~first]])


def _request(log: CanonicalLog, log_row: int) -> dict[str, Any]:
    """One row of the log as the body of POST /rerank, candidates as columns."""
    rows = log.impressions
    span = rows.candidates.value_slice(log_row, log_row + 1)
    items = log.items.ids.take(pa.array(rows.candidates.values[span]))
    columns: dict[str, Any] = {"item_id": items.to_pylist()}
    scores = rows.upstream_scores[span]
    if not np.isnan(scores).all():
        columns["score"] = [None if np.isnan(s) else float(s) for s in scores]
    width = span.stop - span.start
    features = {
        name: column.slice(span.start, width).to_pylist()
        for name, column in rows.candidate_values.items()
    }
    if features:
        columns["features"] = features
    body: dict[str, Any] = {
        "request_id": rows.request_ids[log_row].as_py(),
        "user_id": log.users.ids[int(rows.user_index[log_row])].as_py(),
        "candidates": columns,
    }
    if rows.context_values:
        body["context"] = {
            name: column[log_row].as_py() for name, column in rows.context_values.items()
        }
    return body


def _labels(tables: LogTables, row: int) -> dict[str, Any]:
    """Labels of all candidates (None where the log has none), and of the shown items."""
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
