"""True values of the input list, of the true taste order and of the best list."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from model.data.simulation.ground_truth import ClickWorld
from model.data.tables.batches import BatchLoader
from model.data.tables.log_tables import LogTables
from model.evaluation.benchmark.list_space_jobs import ExpectedClicksScorer
from model.evaluation.list_quality import best_true_values, true_values
from model.evaluation.list_space import MAX_CLIMB_ROUNDS, is_enumerable
from model.nets.request_tensors import input_list
from model.search.scorer import hill_climb_with_restarts

MAX_CLIMB_NEIGHBORS = 1_000  # neighbors of a list, above which no best list is searched
CLIMB_REQUESTS = 100  # requests whose best list is searched by climbing
_CLIMB_BATCH = 10  # requests at once: bounds the memory of the scored lists

Floats = NDArray[np.float64]
Lists = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceLists:
    """Lists that need no training, with true values (R,).

    best: true value of the best list; NaN where it was not searched.
    taste_lists: (R, M) candidates in the order of true taste.
    """

    input: Floats
    taste: Floats
    best: Floats
    taste_lists: Lists


def measure_reference_lists(
    world: ClickWorld, tables: LogTables, rows: NDArray[np.intp]
) -> ReferenceLists:
    """Reference lists of full requests: all candidates and all slots."""
    taste_lists = true_taste_lists(world, tables, rows)
    inputs = np.broadcast_to(np.arange(tables.slots), taste_lists.shape)
    return ReferenceLists(
        input=true_values(world, tables, rows, np.ascontiguousarray(inputs)),
        taste=true_values(world, tables, rows, taste_lists),
        best=_best_values(world, tables, rows, taste_lists),
        taste_lists=taste_lists,
    )


def true_taste_lists(world: ClickWorld, tables: LogTables, rows: NDArray[np.intp]) -> Lists:
    """(R, M) candidates with the highest taste, in its order."""
    taste = world.taste[tables.user_index[rows][:, None], tables.candidates[rows]]
    return np.argsort(-taste, axis=1, kind="stable")[:, : tables.slots]


def _best_values(
    world: ClickWorld, tables: LogTables, rows: NDArray[np.intp], starts: Lists
) -> Floats:
    if is_enumerable(tables.max_candidates, tables.slots):
        return best_true_values(world, tables, rows)
    best = np.full(len(rows), np.nan)
    if tables.max_candidates * tables.slots > MAX_CLIMB_NEIGHBORS:
        return best
    loader = BatchLoader(tables)
    for first in range(0, min(len(rows), CLIMB_REQUESTS), _CLIMB_BATCH):
        part = slice(first, first + _CLIMB_BATCH)
        best[part] = _climbed_values(world, tables, loader, rows[part], starts[part])
    return best


def _climbed_values(
    world: ClickWorld,
    tables: LogTables,
    loader: BatchLoader,
    rows: NDArray[np.intp],
    starts: Lists,
) -> Floats:
    """(B,) best true value of two climbs: from the taste order and from the input list."""
    request = loader.gather(rows).request
    scorer = ExpectedClicksScorer(world, request, tables.user_index[rows], tables.candidates[rows])
    values = [
        hill_climb_with_restarts(
            scorer, start, restarts=1, max_rounds=MAX_CLIMB_ROUNDS, rng=torch.Generator()
        )[1].numpy()
        for start in (torch.from_numpy(starts), input_list(request))
    ]
    return np.asarray(np.maximum(*values), dtype=np.float64)
