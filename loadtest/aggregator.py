"""Adds up the counts of all processes of a run, and assesses the run at its end."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loadtest.load_shapes import LoadShape
from loadtest.run_counts import RunCounts
from loadtest.verdict import LoadObjective, LoadVerdict, assess_load_run, verdict_table

_SLACK_S = 10.0  # time for starting processes and for late reports


class ResultAggregator:
    """Counts of one run, from the first report of any process to the last one of each."""

    def __init__(
        self, shape: LoadShape, objective: LoadObjective, timeout_s: float, processes: int = 1
    ) -> None:
        self._shape, self._objective, self._processes = shape, objective, processes
        self._late_s = shape.duration_s + timeout_s + _SLACK_S
        self._tally = RunCounts()
        self._began = time.monotonic()
        self._ended: float | None = None
        self._said_last = 0

    @property
    def finished(self) -> bool:
        """Whether every process has sent its last report or is overdue."""
        late = time.monotonic() - self._began > self._late_s
        return late or self._said_last >= self._processes

    def add(self, counts: Mapping[str, Any], *, is_last: bool) -> None:
        """Add counts of a part of the run, from any process."""
        self._tally.merge(RunCounts.from_message(counts))
        self._said_last += is_last
        if is_last:
            self._ended = time.monotonic()

    def verdict(self) -> LoadVerdict:
        """The verdict on the counts so far."""
        ran = (self._ended or time.monotonic()) - self._began
        return assess_load_run(self._tally, self._shape, self._objective, ran)

    def write_verdict(self, json_file: str | None) -> None:
        """Print the table, and write the numbers to a file if one is named."""
        verdict = self.verdict()
        sys.stdout.write("\n".join(verdict_table(verdict)) + "\n\n")
        sys.stdout.flush()
        if json_file:
            path = Path(json_file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(verdict.to_json(), indent=1) + "\n", encoding="utf-8")
