"""Converts the three CSV files of the tutorial into a canonical log.

python docs/tutorials/sample/csv_to_log.py docs/tutorials/sample OUT
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, str]


def main(argv: Sequence[str] | None = None) -> int:
    """Write the log; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("csv_dir", type=Path, help="folder of the CSV files and schema.toml")
    parser.add_argument("log_dir", type=Path, help="folder of the canonical log")
    arguments = parser.parse_args(argv)
    count = write_log(arguments.csv_dir, arguments.log_dir)
    sys.stdout.write(f"{arguments.log_dir}: {count} requests\n")
    return 0


def write_log(csv_dir: Path, log_dir: Path) -> int:
    """Write the Parquet files and copy schema.toml; returns the number of requests."""
    (log_dir / "impressions").mkdir(parents=True, exist_ok=True)
    requests = [
        request_row(list(rows))
        for _, rows in groupby(
            read_csv(csv_dir / "impressions.csv"), key=lambda row: row["request_id"]
        )
    ]
    pq.write_table(pa.Table.from_pylist(requests), log_dir / "impressions" / "part-0.parquet")
    items = [row | {"price": float(row["price"])} for row in read_csv(csv_dir / "items.csv")]
    pq.write_table(pa.Table.from_pylist(items), log_dir / "items.parquet")
    pq.write_table(pa.Table.from_pylist(read_csv(csv_dir / "users.csv")), log_dir / "users.parquet")
    shutil.copyfile(csv_dir / "schema.toml", log_dir / "schema.toml")
    return len(requests)


def request_row(rows: list[Row]) -> dict[str, Any]:
    """One request from its candidates, which the file holds in upstream order."""
    shown = sorted((row for row in rows if row["shown_slot"]), key=lambda row: row["shown_slot"])
    return {
        "request_id": rows[0]["request_id"],
        "user_id": rows[0]["user_id"],
        "timestamp": int(rows[0]["timestamp_ms"]),
        "device": rows[0]["device"],
        "candidates": [row["item_id"] for row in rows],
        "upstream_scores": [float(row["score"]) for row in rows],
        "shown": [row["item_id"] for row in shown],
        "clicks": [int(row["clicked"]) for row in shown],
        "conversions": None,  # not logged
    }


def read_csv(path: Path) -> list[Row]:
    """Rows of a CSV file with a header."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    sys.exit(main())
