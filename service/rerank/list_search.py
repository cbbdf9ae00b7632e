"""The list search of one request: generate, evaluate, refine and select, as graph calls.

Knows arrays and the deadline, but neither the store nor HTTP nor ONNX Runtime.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.contract.artifact.manifest import Manifest
from model.contract.kernels.encoding_kernels import holds_distinct_candidates
from model.contract.kernels.list_scoring import ensemble_mean
from model.contract.scoring.objective import compute_rewards, select_with_scores
from service.errors import DeadlineExceeded, InferenceFailed
from service.rerank.deadline import Deadline
from service.rerank.graph_calls import GraphCall, GraphCalls
from service.rerank.latency_model import SearchLatency
from service.rerank.refinement import hill_climb_by_deadline, objective_inputs
from service.rerank.search_request import Lists, PartialResult, SearchRequest, SearchResult

_Floats = NDArray[np.floating[Any]]


class ListScores(NamedTuple):
    """Evaluator outputs of L lists: probabilities (E, L, M) and rewards (E, L)."""

    p_click: _Floats
    p_conversion: _Floats | None
    rewards: NDArray[np.float64]


def search_lists(
    request: SearchRequest,
    manifest: Manifest,
    latency: SearchLatency,
    *,
    deadline: Deadline,
    partial: PartialResult | None = None,
) -> GraphCalls[SearchResult]:
    """The best list that the deadline allows; raises DeadlineExceeded when not even one list fits.

    Publishes the result in `partial` before refinement and again at the end.
    """
    partial = PartialResult() if partial is None else partial
    if partial.batch_size > 1:
        latency = replace(latency, batch_size=partial.batch_size)
    lists = _affordable_lists(request, latency, deadline.left_s())
    clock, candidates = deadline.clock, request.num_candidates
    started = clock()
    try:
        generated = yield from generate_feasible_lists(request, manifest, lists)
        generated_at = clock()
        result = yield from evaluate_lists(request, manifest, generated)
    except DeadlineExceeded:  # a lower bound of the latency: the next request plans fewer lists
        latency.observe_lists(candidates, lists, clock() - started, terminated=True)
        raise
    ended = clock()
    latency.observe_lists(candidates, lists, ended - started)
    result.infeasible_lists = lists - len(generated)
    result.started_at = started
    result.generate_s, result.evaluate_s = generated_at - started, ended - generated_at
    result.incomplete = True  # for a caller that takes it before refinement ends
    partial.result = result
    refined, complete = yield from refine_result(
        request, manifest, result, latency=latency, deadline=deadline
    )
    refined.refine_s = clock() - ended
    refined.incomplete = lists < request.num_lists or not complete
    partial.result = refined
    return refined


def _affordable_lists(request: SearchRequest, latency: SearchLatency, left_s: float) -> int:
    """How many of the requested lists fit; raises DeadlineExceeded for none."""
    candidates = request.num_candidates
    lists = latency.lists.max_lists(
        candidates=candidates, requested=request.num_lists, left_s=left_s
    )
    if lists == 0:
        needed_ms = latency.lists.predict(candidates, 1) * 1e3
        raise DeadlineExceeded(stage="generate", remaining_ms=left_s * 1e3, required_ms=needed_ms)
    return lists


def generate_feasible_lists(
    request: SearchRequest, manifest: Manifest, lists: int
) -> GraphCalls[Lists]:
    """(at most K, M) generated lists, infeasible ones dropped."""
    arrays = request.fixed_inputs | {
        "start": request.input_list[None],
        "editable": request.rules.editable[None],
        "noise_slot": request.noise_slot[None, :lists],
        "noise_item": request.noise_item[None, :lists],
    }
    if manifest.generator_takes_reward_weights:
        arrays |= objective_inputs(request, manifest)
    call = GraphCall("generate", arrays | request.rule_inputs, request.has_count_rules)
    batch: NDArray[np.int32] = yield call  # (1, K, M)
    generated: Lists = batch[0]
    kept = feasible(generated, request)
    return generated if all(kept) else generated[kept]


def feasible(lists: Lists, request: SearchRequest) -> list[bool]:
    """Whether each list (L, M) has valid, distinct candidates, obeys the rules and keeps pins."""
    size, candidates = request.list_size, request.num_candidates
    if holds_distinct_candidates(lists, size, candidates):
        distinct = [True] * len(lists)
    else:
        distinct = [bool(holds_distinct_candidates(one[None], size, candidates)) for one in lists]
    if not request.has_constraints:
        return distinct
    kept = np.array(distinct)
    kept[kept] = request.rules.satisfied_by(lists[kept], request.slot_valid)
    pinned = request.slot_valid & ~request.rules.editable
    if pinned.any():
        kept &= (lists[:, pinned] == request.input_list[pinned]).all(axis=-1)
    flags: list[bool] = kept.tolist()
    return flags


def evaluate_lists(
    request: SearchRequest, manifest: Manifest, generated: Lists
) -> GraphCalls[SearchResult]:
    """Score the generated lists and the input list, and select one."""
    lists = np.concatenate([generated, request.input_list[None]])
    lists[:, request.list_size :] = 0  # the graph's outputs beyond the list have no meaning
    p_click, p_conversion, rewards = yield from score_lists(request, lists)
    indices, scores = select_with_scores(
        rewards[:, None], manifest.risk_aversion, manifest.min_relative_gain
    )
    chosen = int(indices[0])
    return SearchResult(
        lists=lists,
        rewards=rewards,
        reward=_member_mean(rewards, chosen),
        input_reward=_member_mean(rewards, -1),
        p_click=_mean_probabilities(p_click, chosen),
        p_conversion=None if p_conversion is None else _mean_probabilities(p_conversion, chosen),
        chosen_index=chosen,
        scores=scores[0],
    )


def score_lists(request: SearchRequest, lists: Lists) -> GraphCalls[ListScores]:
    """Evaluator outputs of lists (L, M); raises InferenceFailed for a reward that is not finite."""
    p_click: _Floats
    p_conversion: _Floats | None
    arrays = request.fixed_inputs | {"lists": lists[None]}
    p_click, p_conversion = yield GraphCall("evaluate", arrays)
    values = None if request.values is None else request.values[lists][None]
    full = request.list_size == len(request.input_list)
    shown = None if full else request.slot_valid[None]
    rewards = compute_rewards(p_click, p_conversion, values, shown, request.objective)[:, 0]
    if not math.isfinite(np.add.reduce(rewards, axis=None)):  # a sum keeps NaN and infinity
        raise InferenceFailed(graph="evaluator", reason="a reward is not a finite number")
    return ListScores(p_click[:, 0], None if p_conversion is None else p_conversion[:, 0], rewards)


def refine_result(
    request: SearchRequest,
    manifest: Manifest,
    result: SearchResult,
    *,
    latency: SearchLatency,
    deadline: Deadline,
) -> GraphCalls[tuple[SearchResult, bool]]:
    """The result with a refined list, and whether time allowed the whole refinement.

    Returns the result unchanged when the deadline ends refinement.
    """
    clock, start = deadline.clock, result.best_scored_list
    try:
        refined, complete = yield from hill_climb_by_deadline(
            request, manifest, start, latency=latency, deadline=deadline
        )
    except DeadlineExceeded:
        return result, False
    if not manifest.refine_rounds or (refined == start).all():
        return result, complete
    if not feasible(refined[None], request)[0]:
        result.infeasible_lists += 1
        return result, complete
    started = clock()
    try:
        scores = yield from score_lists(request, refined[None])
    except DeadlineExceeded:
        spent_s = clock() - started
        latency.observe_refined_scoring(request.num_candidates, spent_s, terminated=True)
        return result, False
    latency.observe_refined_scoring(request.num_candidates, clock() - started)
    extended = add_refined_list(
        result,
        refined,
        scores,
        risk_aversion=manifest.risk_aversion,
        min_relative_gain=manifest.min_relative_gain,
    )
    return extended, complete


def add_refined_list(
    result: SearchResult,
    refined: Lists,
    list_scores: ListScores,
    *,
    risk_aversion: float,
    min_relative_gain: float,
) -> SearchResult:
    """The result with the refined list (M,) before the input list, and a new selection."""
    rewards = _insert_before_last(result.rewards, list_scores.rewards, 1)
    indices, scores = select_with_scores(rewards[:, None], risk_aversion, min_relative_gain)
    lists = _insert_before_last(result.lists, refined[None], 0)
    chosen, refined_index = int(indices[0]), len(lists) - 2
    extended = replace(
        result,
        lists=lists,
        rewards=rewards,
        scores=scores[0],
        refined_index=refined_index,
        chosen_index=chosen,
    )
    if chosen != refined_index:  # the same list as before; the input list's index has changed
        return extended
    extended.reward = _member_mean(list_scores.rewards, 0)
    extended.p_click = _mean_probabilities(list_scores.p_click, 0)
    if list_scores.p_conversion is not None:
        extended.p_conversion = _mean_probabilities(list_scores.p_conversion, 0)
    return extended


def _insert_before_last(array: NDArray[Any], new: NDArray[Any], axis: int) -> NDArray[Any]:
    """The array with `new` inserted before its last entry along the axis."""
    rest, last = np.split(array, [-1], axis=axis)
    return np.concatenate([rest, new, last], axis=axis)


def _member_mean(rewards: NDArray[np.float64], index: int) -> float:
    """(E, L) -> mean over members of one list's reward."""
    of_members: list[float] = rewards[:, index].tolist()
    return sum(of_members) / len(of_members)


def _mean_probabilities(probabilities: _Floats, index: int) -> NDArray[np.float64]:
    """(E, L, M) -> (M,) mean over members of one list's probabilities."""
    mean = np.empty(probabilities.shape[-1])
    ensemble_mean(probabilities, index, mean)
    return mean
