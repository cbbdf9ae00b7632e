"""The search of one request: generate, evaluate, refine, choose, as steps on the worker's thread.

Knows arrays and the deadline; neither the store nor HTTP nor ONNX Runtime.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.contract.artifact.manifest import Manifest
from model.contract.kernels.encoding_kernels import holds_distinct_candidates
from model.contract.kernels.list_scoring import ensemble_mean
from model.contract.scoring.noise import request_noise
from model.contract.scoring.objective import compute_rewards, select_with_scores
from service.errors import DeadlineExceeded, InferenceFailed
from service.rerank.cost import Cost
from service.rerank.deadline import Deadline
from service.rerank.refine import climb, counted
from service.rerank.steps import Ask, Steps
from service.rerank.task import Found, Held, Lists, Task


def search(  # a task on an artifact, by a deadline
    task: Task,
    manifest: Manifest,
    cost: Cost,
    deadline: Deadline,
    held: Held | None = None,
) -> Steps[Found]:
    """Best list that the deadline allows; raises DeadlineExceeded when not even one list fits.

    held: gets what is found before it is refined, and what is found in the end.
    """
    held = Held() if held is None else held
    if held.shared > 1:
        cost = replace(cost, requests=held.shared)
    left_s, candidates = deadline.left_s(), task.candidates
    lists = cost.lists.affordable(candidates=candidates, wanted=task.num_lists, left_s=left_s)
    if lists == 0:
        needed_ms = cost.lists.seconds(candidates, 1) * 1e3
        raise DeadlineExceeded(stage="generate", remaining_ms=left_s * 1e3, required_ms=needed_ms)
    clock = deadline.clock
    began = clock()
    try:
        proposed = yield from generate(task, manifest, lists)
        generated = clock()
        found = yield from evaluate(task, manifest, proposed)
    except DeadlineExceeded:  # it takes at least this long: the next plan is a smaller one
        cost.observe_lists(candidates, lists, clock() - began, ended=True)
        raise
    ended = clock()
    cost.observe_lists(candidates, lists, ended - began)
    found.unlawful = lists - len(proposed)
    found.began = began
    found.generate_s, found.evaluate_s = generated - began, ended - generated
    found.cut_short = True  # where it is taken before its refinement is over
    held.found = found
    refined, whole = yield from refine(task, manifest, found, cost, deadline)
    refined.refine_s = clock() - ended
    refined.cut_short = lists < task.num_lists or not whole
    held.found = refined
    return refined


def generate(task: Task, manifest: Manifest, lists: int) -> Steps[Lists]:
    """(at most K, M) generated lists that obey every rule."""
    sizes = manifest.lengths
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
    if manifest.generator_takes_reward_weights:
        arrays |= counted(task, manifest)
    generated = yield Ask("generate", arrays | task.rule_inputs, task.has_rows)
    out: Lists = generated[0]
    ok = lawful(out, task)
    return out if all(ok) else out[ok]


def lawful(lists: Lists, task: Task) -> list[bool]:
    """Whether each list holds candidates only, none twice, obeys the rules and keeps the pins."""
    size, candidates = task.size, task.candidates
    if holds_distinct_candidates(lists, size, candidates):
        real = [True] * len(lists)
    else:
        real = [bool(holds_distinct_candidates(one[None], size, candidates)) for one in lists]
    if not task.ruled:
        return real
    ok = np.array(real)
    ok[ok] = task.rules.satisfied_by(lists[ok], task.slot_valid)
    pinned = task.slot_valid & ~task.rules.editable
    if pinned.any():
        ok &= (lists[:, pinned] == task.start[pinned]).all(axis=-1)
    held: list[bool] = ok.tolist()
    return held


def evaluate(task: Task, manifest: Manifest, proposed: Lists) -> Steps[Found]:
    """Score the proposed lists and the input list, and choose."""
    lists = np.concatenate([proposed, task.start[None]])
    lists[:, task.size :] = 0  # whatever the graph says beyond the list
    p_click, p_conversion, rewards = yield from judge(task, lists)
    places, scores = select_with_scores(rewards[:, None], manifest.risk_aversion)
    chosen = int(places[0])
    return Found(
        lists=lists,
        rewards=rewards,
        reward=_mean(rewards, chosen),
        input_reward=_mean(rewards, -1),
        p_click=_over_members(p_click, chosen),
        p_conversion=None if p_conversion is None else _over_members(p_conversion, chosen),
        chosen=chosen,
        scores=scores[0],
    )


_Floats = NDArray[np.floating[Any]]
Judged = tuple[_Floats, _Floats | None, NDArray[np.float64]]


def judge(task: Task, lists: Lists) -> Steps[Judged]:
    """p_click and p_conversion (E, L, M) and rewards (E, L) of lists (L, M)."""
    p_click, p_conversion = yield Ask("evaluate", task.context | {"lists": lists[None]})
    values = None if task.values is None else task.values[lists][None]
    shown = None if task.size == len(task.start) else task.slot_valid[None]
    rewards = compute_rewards(p_click, p_conversion, values, shown, task.objective)[:, 0]
    if not math.isfinite(np.add.reduce(rewards, axis=None)):  # NaN and infinity stay what they are
        raise InferenceFailed(graph="evaluator", reason="a reward is not a finite number")
    return p_click[:, 0], None if p_conversion is None else p_conversion[:, 0], rewards


def refine(
    task: Task, manifest: Manifest, found: Found, cost: Cost, deadline: Deadline
) -> Steps[tuple[Found, bool]]:
    """What is found with the chosen list's ascent, and whether time held all of that.

    Where the deadline ends it, what was found before.
    """
    clock = deadline.clock
    try:
        reached, whole = yield from climb(task, manifest, found.list, cost, deadline)
    except DeadlineExceeded:
        return found, False
    if not manifest.refine_rounds or (reached == found.list).all():
        return found, whole
    if not lawful(reached[None], task)[0]:
        found.unlawful += 1
        return found, whole
    began = clock()
    try:
        judged = yield from judge(task, reached[None])
    except DeadlineExceeded:
        cost.observe_judging(task.candidates, clock() - began, ended=True)
        return found, False
    cost.observe_judging(task.candidates, clock() - began)
    return _beside(found, reached, judged, manifest.risk_aversion), whole


def _beside(found: Found, reached: Lists, judged: Judged, risk_aversion: float) -> Found:
    """With one more list beside the others, before the input list, and the choice among all."""
    p_click, p_conversion, rewards = judged
    every = _before_last(found.rewards, rewards, 1)
    places, scores = select_with_scores(every[:, None], risk_aversion)
    lists = _before_last(found.lists, reached[None], 0)
    chosen, place = int(places[0]), len(lists) - 2
    more = replace(
        found, lists=lists, rewards=every, scores=scores[0], refined=place, chosen=chosen
    )
    if chosen != place:  # the same list as before, whose place may have moved
        return more
    more.reward = _mean(rewards, 0)
    more.p_click = _over_members(p_click, 0)
    if p_conversion is not None:
        more.p_conversion = _over_members(p_conversion, 0)
    return more


def _before_last(held: NDArray[Any], new: NDArray[Any], axis: int) -> NDArray[Any]:
    """With one more entry along the axis, before the last."""
    rest, last = np.split(held, [-1], axis=axis)
    return np.concatenate([rest, new, last], axis=axis)


def _mean(rewards: NDArray[np.float64], at: int) -> float:
    own: list[float] = rewards[:, at].tolist()
    return sum(own) / len(own)


def _over_members(chances: _Floats, at: int) -> NDArray[np.float64]:
    """(E, L, M) -> (M,) of one list."""
    mean = np.empty(chances.shape[-1])
    ensemble_mean(chances, at, mean)
    return mean
