"""Where a list stands among ALL lists of a space, or the best that is found there."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.metrics import hit_threshold, rank_in_space
from model.nets.inputs import input_list
from model.search import ListScorer, every_list, hill_climb, space_size

EXACT_UP_TO = 50_000
SHARES = (0.01, 0.10)
ROUNDS = 50  # of one climb: far more than any needed


def is_exact(candidates: int, slots: int) -> bool:
    """Whether a space of this size is enumerated."""
    return space_size(candidates, slots) <= EXACT_UP_TO


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


def hits(space: NDArray[np.floating], own: NDArray[np.floating]) -> dict[str, NDArray[np.bool_]]:
    """For each share: whether the list's rank is within ceil(share * size)."""
    rank = rank_in_space(space, own)
    size = space.shape[1]
    return {f"hr@{share:.0%}": rank <= hit_threshold(size, share) for share in SHARES}


__all__ = [
    "climbed_reward",
    "hits",
    "is_exact",
    "place_in_space",
    "space_rewards",
]
