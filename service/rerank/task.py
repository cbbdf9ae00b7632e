"""What a search is given and what it finds: arrays. How they are made and used is elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.contract.rules.rule_arrays import RuleArrays
from model.contract.scoring.objective import RewardWeights

Lists = NDArray[np.int32]


@dataclass(slots=True, kw_only=True)  # frozen, each of its fields would cost a call
class Task:
    """One request as the search sees it.

    context: the graphs' inputs that no list changes (candidates, user, sessions, their masks).
    start: (M,) int32, the input list, repaired by the rules; 0 in slots that the list has not.
    slot_valid: (M,) bool, the first `size` slots.
    ruled: whether the request has constraints; without any, the rules allow every list.
    values: (N,) float, value of each candidate; None when the objective does not ask.
    """

    context: dict[str, NDArray[Any]]
    start: Lists
    slot_valid: NDArray[np.bool_]
    size: int
    rules: RuleArrays
    objective: RewardWeights
    values: NDArray[np.float32] | None
    num_lists: int
    seed: int
    ruled: bool = True

    @property
    def candidates(self) -> int:
        """N."""
        return len(self.rules.allowed)

    @property
    def rule_inputs(self) -> dict[str, NDArray[Any]]:
        """By name, what the graphs with rules take beside the others' inputs."""
        if not self.has_rows:
            return {}
        return {
            "rule_member": self.rules.member[None],
            "rule_slots": self.rules.slots[None],
            "rule_min": self.rules.minimum[None],
            "rule_max": self.rules.maximum[None],
        }

    @property
    def has_rows(self) -> bool:
        """Whether caps or minimums ask for the graph with rules."""
        return len(self.rules.minimum) > 0


@dataclass(slots=True, kw_only=True)
class Found:
    """Outcome of a search; the last list is the input list.

    lists: (L, M) int32.  rewards: (E, L).  scores: (L - 1,), of all but the input list.
    p_click, p_conversion: (M,) of the served list, mean over members, as `compute_rewards` is and
    `input_reward`.
    refined: the place of the refined list, where there is one.
    cut_short: whether time held fewer lists than asked for, or not the whole refinement.
    unlawful: lists dropped because they broke a rule.
    """

    lists: Lists
    rewards: NDArray[np.float64]
    reward: float
    input_reward: float
    p_click: NDArray[np.float64]
    p_conversion: NDArray[np.float64] | None
    chosen: int
    scores: NDArray[np.float64]
    refined: int | None = None
    cut_short: bool = False
    unlawful: int = 0
    began: float = 0.0  # on the deadline's clock
    generate_s: float = 0.0
    evaluate_s: float = 0.0
    refine_s: float = 0.0

    @property
    def list(self) -> Lists:
        """(M,) the served list."""
        return self.lists[self.chosen]


@dataclass(slots=True)
class Held:
    """What a search has by now, for who waits and is told that its time is over.

    found: None until lists are judged. The search may still be at work on another thread; of what
    it has handed over it writes nothing but flags and times.
    shared: of how many requests its runs of the graphs are.
    """

    found: Found | None = None
    shared: int = 1

    def taken(self, now: float) -> Found | None:
        """What there is, with the time that was spent on it until now."""
        found = self.found
        if found is not None and not found.refine_s:
            found.refine_s = now - found.began - found.generate_s - found.evaluate_s
        return found
