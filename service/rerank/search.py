"""The search of one request: generate lists, evaluate them, choose. Runs on the worker's thread.

Knows arrays and the deadline; neither the store nor HTTP nor ONNX Runtime.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.contract.choice import Objective, decide, reward
from model.contract.manifest import Manifest
from model.contract.noise import request_noise
from model.contract.rule_arrays import RuleArrays
from service.errors import BudgetSpent, GraphFailed
from service.rerank.cost import CostLine, Observation
from service.rerank.deadline import Deadline
from service.rerank.ports import Graphs

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
    objective: Objective
    values: NDArray[np.float32] | None
    num_lists: int
    seed: int
    ruled: bool = True

    @property
    def candidates(self) -> int:
        """N."""
        return len(self.rules.allowed)

    @property
    def has_rows(self) -> bool:
        """Whether caps or minimums ask for the graph with rules."""
        return len(self.rules.minimum) > 0


@dataclass(slots=True, kw_only=True)
class Found:
    """Outcome of a search; the last list is the input list.

    lists: (L, M) int32.  rewards: (E, L).
    p_click, p_conversion: (M,) of the served list, mean over members, as `reward` is and
    `input_reward`.
    """

    lists: Lists
    rewards: NDArray[np.floating[Any]]
    reward: float
    input_reward: float
    p_click: NDArray[np.floating[Any]]
    p_conversion: NDArray[np.floating[Any]] | None
    chosen: int
    scores: NDArray[np.floating[Any]]
    ran_lists: int
    unlawful: int
    began: float  # on the deadline's clock
    generate_s: float
    evaluate_s: float

    @property
    def list(self) -> Lists:
        """(M,) the served list."""
        return self.lists[self.chosen]


def search(
    graphs: Graphs, task: Task, manifest: Manifest, cost: CostLine, deadline: Deadline
) -> Found:
    """Best list that the deadline allows; raises BudgetSpent when not even one list fits."""
    left_s, candidates = deadline.left_s(), task.candidates
    lists = cost.affordable(candidates=candidates, wanted=task.num_lists, left_s=left_s)
    if lists == 0:
        needed_ms = cost.seconds(candidates, 1) * 1e3
        raise BudgetSpent(stage="generate", left_ms=left_s * 1e3, needed_ms=needed_ms)
    clock = deadline.clock
    began = clock()
    try:
        proposed = generate(graphs, task, manifest, lists)
        generated = clock()
        found = evaluate(graphs, task, manifest, proposed)
    except BudgetSpent:  # it takes at least this long: the next plan is a smaller one
        cost.observe(Observation(candidates, lists, clock() - began))
        raise
    ended = clock()
    cost.observe(Observation(candidates, lists, ended - began))
    found.ran_lists = lists
    found.unlawful = lists - len(proposed)
    found.began = began
    found.generate_s, found.evaluate_s = generated - began, ended - generated
    return found


def generate(graphs: Graphs, task: Task, manifest: Manifest, lists: int) -> Lists:
    """(at most K, M) generated lists that obey every rule."""
    sizes, has_rows = manifest.lengths, task.has_rows
    noise_slot, noise_item = request_noise(
        seed=task.seed,
        lists=lists,
        edits=sizes.edits,
        slots=sizes.slots,
        candidates=task.candidates,
        scale=manifest.noise_scale,
    )
    arrays = task.context | {
        "start": task.start[None],
        "editable": task.rules.editable[None],
        "noise_slot": noise_slot[None],
        "noise_item": noise_item[None],
    }
    if has_rows:
        arrays |= {
            "rule_member": task.rules.member[None],
            "rule_slots": task.rules.slots[None],
            "rule_min": task.rules.minimum[None],
            "rule_max": task.rules.maximum[None],
        }
    out = graphs.generate(arrays, rules=has_rows)[0]
    ok = lawful(out, task)
    return out if all(ok.tolist()) else out[ok]


def lawful(lists: Lists, task: Task) -> NDArray[np.bool_]:
    """(K,) whether each list holds candidates only, none twice, obeys the rules, keeps the pins."""
    # sets of ten numbers: numpy's sort lets go of the interpreter lock, and is cold code here
    size, known = task.size, _places(task.candidates)
    rows = [frozenset(row) for row in lists[:, :size].tolist()]
    ok = np.array([len(row) == size and row <= known for row in rows])
    if not task.ruled:
        return ok
    ok[ok] = task.rules.obeyed(lists[ok], task.slot_valid)
    pinned = task.slot_valid & ~task.rules.editable
    if pinned.any():
        ok &= (lists[:, pinned] == task.start[pinned]).all(axis=-1)
    return ok


@lru_cache(maxsize=1024)
def _places(candidates: int) -> frozenset[int]:
    """The candidates' places, shared by all requests of this N."""
    return frozenset(range(candidates))


def evaluate(graphs: Graphs, task: Task, manifest: Manifest, proposed: Lists) -> Found:
    """Score the proposed lists and the input list, and choose."""
    lists = np.concatenate([proposed, task.start[None]])
    lists[:, task.size :] = 0  # whatever the graph says beyond the list
    p_click, p_conversion, rewards = judge(graphs, task, lists)
    places, scores = decide(rewards[:, None], manifest.pessimism)
    chosen, members = int(places[0]), len(rewards)
    mean = np.add.reduce(rewards, axis=0) / members
    return Found(
        lists=lists,
        rewards=rewards,
        reward=float(mean[chosen]),
        input_reward=float(mean[-1]),
        p_click=np.add.reduce(p_click[:, chosen], axis=0) / members,
        p_conversion=None
        if p_conversion is None
        else np.add.reduce(p_conversion[:, chosen], axis=0) / members,
        chosen=chosen,
        scores=scores[0],
        ran_lists=len(proposed),
        unlawful=0,
        began=0.0,
        generate_s=0.0,
        evaluate_s=0.0,
    )


_Floats = NDArray[np.floating[Any]]


def judge(graphs: Graphs, task: Task, lists: Lists) -> tuple[_Floats, _Floats | None, _Floats]:
    """p_click and p_conversion (E, L, M) and rewards (E, L) of lists (L, M)."""
    p_click, p_conversion = graphs.evaluate(task.context | {"lists": lists[None]})
    values = None if task.values is None else task.values[lists][None]
    shown = None if task.size == len(task.start) else task.slot_valid[None]
    rewards = reward(p_click, p_conversion, values, shown, task.objective)[:, 0]
    if not np.logical_and.reduce(np.isfinite(rewards), axis=None):
        raise GraphFailed(graph="evaluator", why="a reward is not a finite number")
    return p_click[:, 0], None if p_conversion is None else p_conversion[:, 0], rewards
