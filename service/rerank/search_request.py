"""Input and output of a list search, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.contract.rules.rule_arrays import RuleArrays
from model.contract.scoring.objective import RewardWeights

Lists = NDArray[np.int32]


@dataclass(slots=True, kw_only=True)  # not frozen: a frozen class makes one extra call a field
class SearchRequest:
    """Input of the search of one rerank request.

    fixed_inputs: graph inputs that no list changes (candidates, user, sessions and their masks).
    input_list: (M,) int32 candidate indices, repaired to satisfy the rules; 0 beyond `list_size`.
    slot_valid: (M,) bool, True for the first `list_size` slots.
    values: (N,) float, value of each candidate; None when the objective has no value weight.
    noise_slot, noise_item: (K, T, M) and (K, T, N) float32, noise of the lists to generate.
    num_candidates: N.
    has_count_rules: whether caps or minimums require the graphs with rules.
    has_constraints: False when the rules allow every list.
    """

    fixed_inputs: dict[str, NDArray[Any]]
    input_list: Lists
    slot_valid: NDArray[np.bool_]
    list_size: int
    rules: RuleArrays
    objective: RewardWeights
    values: NDArray[np.float32] | None
    num_lists: int
    seed: int
    noise_slot: NDArray[np.float32]
    noise_item: NDArray[np.float32]
    num_candidates: int
    has_count_rules: bool
    has_constraints: bool = True

    @property
    def rule_inputs(self) -> dict[str, NDArray[Any]]:
        """Additional inputs of the graphs with rules; empty for the graphs without."""
        if not self.has_count_rules:
            return {}
        return {
            "rule_member": self.rules.member[None],
            "rule_slots": self.rules.slots[None],
            "rule_min": self.rules.minimum[None],
            "rule_max": self.rules.maximum[None],
        }


@dataclass(slots=True, kw_only=True)
class SearchResult:
    """Output of a search. The last of the lists is the input list.

    lists: (L, M) int32.
    rewards: (E, L).
    scores: (L - 1,) selection score of all lists but the input list.
    reward, input_reward: of the served and the input list, mean over members.
    p_click, p_conversion: (M,) of the served list, mean over members.
    chosen_index, refined_index: rows of `lists`; `refined_index` is None without a refined list.
    incomplete: whether time allowed fewer lists than requested, or not the whole refinement.
    infeasible_lists: number of lists dropped because they broke a rule.
    started_at: seconds on the deadline's clock.
    """

    lists: Lists
    rewards: NDArray[np.float64]
    reward: float
    input_reward: float
    p_click: NDArray[np.float64]
    p_conversion: NDArray[np.float64] | None
    chosen_index: int
    scores: NDArray[np.float64]
    refined_index: int | None = None
    incomplete: bool = False
    infeasible_lists: int = 0
    started_at: float = 0.0
    generate_s: float = 0.0
    evaluate_s: float = 0.0
    refine_s: float = 0.0

    @property
    def chosen_list(self) -> Lists:
        """(M,) the served list."""
        return self.lists[self.chosen_index]

    @property
    def best_scored_list(self) -> Lists:
        """(M,) the list with the highest score; the input list where no score is positive.

        It is not the served list where its gain is below the artifact's `min_relative_gain`.
        """
        best = int(self.scores.argmax()) if len(self.scores) else -1
        return self.lists[best] if best >= 0 and self.scores[best] > 0 else self.lists[-1]


@dataclass(slots=True)
class PartialResult:
    """The best result of a search so far, for a caller whose deadline passes before it ends.

    result: None until lists are scored. The search may still run on another thread. After it has
        published a result it writes nothing to it but flags and times.
    batch_size: number of requests in the search's graph runs.
    """

    result: SearchResult | None = None
    batch_size: int = 1

    def snapshot(self, now: float) -> SearchResult | None:
        """The result so far, with the time spent on it until `now`."""
        result = self.result
        if result is not None and not result.refine_s:
            ended_at = result.started_at + result.generate_s + result.evaluate_s
            result.refine_s = now - ended_at
        return result
