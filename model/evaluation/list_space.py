"""Rank of a list among all lists of a request, and the best list of a large space."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.data.tables.log_tables import LogTables
from model.metrics import hit_threshold, rank_in_space
from model.nets.request_tensors import input_list
from model.search.scorer import (
    MAX_ENUMERATED_LISTS,
    ListRewardFunction,
    count_lists,
    enumerate_lists,
    hill_climb_with_restarts,
)

HIT_RATE_SHARES = (0.01, 0.10)
MAX_CLIMB_ROUNDS = 50  # above the length of any hill climb


def is_enumerable(candidates: int, slots: int) -> bool:
    """Whether the list space has at most `MAX_ENUMERATED_LISTS` lists."""
    return count_lists(candidates, slots) <= MAX_ENUMERATED_LISTS


def rows_with_full_lists(tables: LogTables, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """The rows; of an enumerable space only those with all candidates and all slots."""
    if not is_enumerable(tables.max_candidates, tables.slots):
        return rows
    return rows[
        (tables.cand_count[rows] == tables.max_candidates)
        & (tables.shown_count[rows] == tables.slots)
    ]


def all_list_rewards(scorer: ListRewardFunction) -> Tensor:
    """(B, S) mean reward of all S lists, in the order of `enumerate_lists`."""
    n, m = scorer.request.cand_valid.shape[1], scorer.request.slot_valid.shape[1]
    return scorer(enumerate_lists(n, m).expand(len(scorer.request.user), -1, -1))


def list_indices(lists: Tensor, candidates: int) -> Tensor:
    """(B,) index of lists (B, M) in the order of `enumerate_lists`, which is lexicographic."""
    digits = candidates ** torch.arange(lists.shape[1] - 1, -1, -1)
    codes = (enumerate_lists(candidates, lists.shape[1]) * digits).sum(dim=1)
    return torch.searchsorted(codes, (lists * digits).sum(dim=1))


def best_climbed_reward(scorer: ListRewardFunction, restarts: int) -> Tensor:
    """(B,) best reward of hill climbs: one from the input list, the others from random lists."""
    start, rng = input_list(scorer.request), torch.Generator().manual_seed(0)
    return hill_climb_with_restarts(
        scorer, start, restarts=restarts, max_rounds=MAX_CLIMB_ROUNDS, rng=rng
    )[1]


def top_share_hits(
    all_rewards: NDArray[np.floating], lists: Tensor, candidates: int
) -> dict[str, NDArray[np.bool_]]:
    """`hr@{share}` -> (B,) bool, whether lists (B, M) rank in the top share of rewards (B, S)."""
    list_rewards = np.take_along_axis(
        all_rewards, list_indices(lists, candidates).numpy()[:, None], axis=1
    )
    rank = rank_in_space(all_rewards, list_rewards[:, 0])
    size = all_rewards.shape[1]
    return {f"hr@{share:.0%}": rank <= hit_threshold(size, share) for share in HIT_RATE_SHARES}
