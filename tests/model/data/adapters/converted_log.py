"""Converts a made-up copy of a data set and checks the log, for the tests of the adapters."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from model.data.adapters.dataset_list import convert_dataset
from model.data.adapters.log_builder import BuilderOptions
from model.data.log.limits import ListLimits
from model.data.log_commands import check_log
from model.data.tables.log_tables import LogTables
from model.data.tables.table_builder import build_log_tables


class ConvertedLog:
    """A log of a made-up data set that passed the checks; `summary` is the line for the user."""

    def __init__(self, name: str, source: Path, **options: Any) -> None:
        self.folder = source.parent / f"{name}-log"
        limits = ListLimits()
        self.summary = convert_dataset(
            name, source, self.folder, BuilderOptions(limits=limits, **options)
        )
        assert "no rule broken" in check_log(self.folder, limits)

    @property
    def tables(self) -> LogTables:
        return build_log_tables(self.folder, history_length=3)

    @property
    def requests(self) -> dict[str, dict[str, Any]]:
        table = pq.read_table(self.folder / "impressions")
        return {row["request_id"]: row for row in table.to_pylist()}

    def entities(self, file: str, id_name: str) -> dict[str, dict[str, Any]]:
        rows = pq.read_table(self.folder / file).to_pylist()
        return {row[id_name]: row for row in rows}
