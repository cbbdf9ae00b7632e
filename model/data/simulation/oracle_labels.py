"""Replaces training clicks of a simulated log by their true probabilities.

Separates the noise of sampled clicks from the error of a net.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from model.data.simulation.ground_truth import ClickWorld
from model.data.tables.log_tables import LogTables
from model.data.tables.split import TRAIN


def with_oracle_clicks(tables: LogTables, world: ClickWorld) -> LogTables:
    """The tables with `clicks` (R, M) float32: probabilities in training rows, clicks elsewhere.

    Sessions keep the sampled clicks, as in a request.
    """
    rows = np.flatnonzero(tables.part == TRAIN)
    clicks = tables.clicks.astype(np.float32)
    items = np.take_along_axis(tables.candidates[rows], tables.shown[rows].astype(np.int64), axis=1)
    for size in np.unique(tables.shown_count[rows]):  # a shorter list has its own probabilities
        of_size = tables.shown_count[rows] == size
        users = tables.user_index[rows[of_size]]
        clicks[rows[of_size], :size] = world.click_probabilities(users, items[of_size, :size])
    return replace(tables, clicks=clicks)
