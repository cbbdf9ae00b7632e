"""The smallest promised gain at which a list replaces the input list, from the size of the log.

Search finds the lists that the evaluator overestimates most, so that small promised gains are
mostly noise. The noise falls with the root of the clicks that the evaluator was trained on.
Measurements: docs/experiments/gain-threshold.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.data.tables.exploration import MIN_EXPLORED_SHARE, explored_mask
from model.data.tables.log_tables import LogTables

NOISE_AT_ONE_CLICK = 6.0  # relative gain; divided by the root of the number of clicks
UNEXPLORED_FACTOR = 6.0  # times that where every list was shown in upstream's order
MAX_RELATIVE_GAIN = 0.5  # a threshold is never larger


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSupport:
    """What a training log supports.

    lists, clicks: in the training rows.
    explored_share: share of lists whose order differs from upstream's.
    """

    lists: int
    clicks: float
    explored_share: float

    @classmethod
    def of_rows(cls, tables: LogTables, rows: NDArray[np.int64]) -> LogSupport:
        """Count rows (R,) of the tables."""
        clicks = np.clip(tables.clicks[rows].astype(np.float64), 0.0, None)  # -1 is padding
        explored = explored_mask(tables, rows)
        return cls(
            lists=len(rows),
            clicks=float(clicks.sum()),
            explored_share=float(explored.mean()) if len(rows) else 0.0,
        )

    @property
    def is_explored(self) -> bool:
        """Whether enough lists differ from upstream's order to tell slots from relevance."""
        return self.explored_share >= MIN_EXPLORED_SHARE

    @property
    def min_relative_gain(self) -> float:
        """Promised gain, relative to the input list's reward, below which the input list stays."""
        noise = NOISE_AT_ONE_CLICK / math.sqrt(max(self.clicks, 1.0))
        factor = 1.0 if self.is_explored else UNEXPLORED_FACTOR
        return min(MAX_RELATIVE_GAIN, noise * factor)

    def describe(self, configured: float | None = None) -> str:
        """One or two sentences for the end of training.

        Args:
            configured: `serving.min_relative_gain`, which holds instead of the log's; None: unset.
        """
        least = self.min_relative_gain if configured is None else configured
        kept = (
            f"a list replaces the input list where its predicted gain is at least {least:.1%} of "
            "the input list's reward"
        )
        if self.is_explored:
            return (
                f"{self.explored_share:.0%} of {self.lists} training lists differ from upstream's "
                f"order, {self.clicks:.0f} clicks: {kept}"
            )
        return (
            f"no exploration: {self.explored_share:.1%} of {self.lists} training lists differ from "
            f"upstream's order, so slot and upstream's rank cannot be told apart: {kept}. "
            "To change this, show 5 % of requests with two adjacent items swapped"
        )
