"""Where a list stands among ALL lists of a space, or the best that is found there."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.data.log_tables import LogTables
from model.metrics import hit_threshold, rank_in_space
from model.nets.inputs import input_list
from model.search import ListScorer, every_list, hill_climb, space_size

EXACT_UP_TO = 50_000
SHARES = (0.01, 0.10)
ROUNDS = 50  # of one climb: far more than any needed


def is_exact(candidates: int, slots: int) -> bool:
    """Whether a space of this size is enumerated."""
    return space_size(candidates, slots) <= EXACT_UP_TO


def measurable_rows(tables: LogTables, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """All of these rows; where spaces are enumerated, those with all candidates and all slots."""
    if not is_exact(tables.max_candidates, tables.slots):
        return rows
    return rows[
        (tables.cand_count[rows] == tables.max_candidates)
        & (tables.shown_count[rows] == tables.slots)
    ]


def space_rewards(scorer: ListScorer) -> Tensor:
    """(B, S) mean reward of every list, in the order of `every_list`."""
    n, m = scorer.request.cand_valid.shape[1], scorer.request.slot_valid.shape[1]
    return scorer(every_list(n, m).expand(len(scorer.request.user), -1, -1))


def place_in_space(lists: Tensor, candidates: int) -> Tensor:
    """(B,) where lists (B, M) stand in the order of `every_list`, which is lexicographic."""
    digits = candidates ** torch.arange(lists.shape[1] - 1, -1, -1)
    codes = (every_list(candidates, lists.shape[1]) * digits).sum(dim=1)
    return torch.searchsorted(codes, (lists * digits).sum(dim=1))


def climbed_reward(scorer: ListScorer, restarts: int) -> Tensor:
    """(B,) the best that this many climbs find: from the input list, then from random lists."""
    start, rng = input_list(scorer.request), torch.Generator().manual_seed(0)
    return hill_climb(scorer, start, restarts=restarts, rounds=ROUNDS, rng=rng)[1]


def hits(
    space: NDArray[np.floating], lists: Tensor, candidates: int
) -> dict[str, NDArray[np.bool_]]:
    """For each share: whether the rank of lists (B, M) among rewards (B, S) is within its part."""
    own = np.take_along_axis(space, place_in_space(lists, candidates).numpy()[:, None], axis=1)
    rank = rank_in_space(space, own[:, 0])
    size = space.shape[1]
    return {f"hr@{share:.0%}": rank <= hit_threshold(size, share) for share in SHARES}
