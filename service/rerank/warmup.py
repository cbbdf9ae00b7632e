"""First runs of a new artifact: fill caches and measure the latency of searches.

The requests have default items, because only their sizes affect latency.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from model.contract.artifact.manifest import GENERATOR_RULES_GRAPH, Manifest
from model.contract.encoding.encoder import FeatureEncoder
from model.contract.rules.rule_arrays import RuleArrays
from model.contract.schema.fitted import column_count
from model.contract.scoring.objective import RewardWeights
from service.rerank.graph_calls import run_sequentially
from service.rerank.interfaces import Graphs
from service.rerank.latency_model import LatencyModel, LatencySample, SearchLatency
from service.rerank.list_search import evaluate_lists, generate_feasible_lists, score_lists
from service.rerank.refinement import refiner_inputs
from service.rerank.search_request import Lists, SearchRequest
from service.rerank.search_request_builder import draw_noise

_REPEATS = 5
_MAX_LISTS = 32


def measure_search_latency(
    graphs: Graphs, manifest: Manifest, max_candidates: int
) -> dict[bool, SearchLatency]:
    """Latency of searches, by whether the graphs with rules run (if the artifact has them)."""
    encoder = FeatureEncoder(manifest.features)
    largest = min(max_candidates, manifest.lengths.max_candidates)
    sizes = sorted({min(12, largest), largest})
    latency = {}
    for rules in (False, True) if GENERATOR_RULES_GRAPH in manifest.graphs else (False,):
        requests = {n: default_search_request(manifest, encoder, n, rules=rules) for n in sizes}
        samples = [
            LatencySample(n, k, _median_s(partial(_run_lists, graphs, requests[n], manifest, k)))
            for n in sizes
            for k in (1, 8, _MAX_LISTS)
        ]
        lists = LatencyModel.fit(samples)
        if manifest.refine_rounds:
            latency[rules] = SearchLatency(lists, *_measure_refinement(graphs, requests, manifest))
        else:
            latency[rules] = SearchLatency(lists)
    return latency


def _measure_refinement(
    graphs: Graphs, requests: Mapping[int, SearchRequest], manifest: Manifest
) -> tuple[LatencyModel, LatencyModel]:
    """Latency of a refinement step and of scoring one refined list, by N."""
    steps, scoring = [], []
    for n, request in requests.items():
        # the refiner reads the request's encoding from the generator's outputs
        run_sequentially(graphs, generate_feasible_lists(request, manifest, 1))
        current = request.input_list[None]
        arrays = refiner_inputs(request, manifest) | {"at": current}
        step = partial(graphs.refine, arrays, rules=request.has_count_rules)
        steps.append(LatencySample(n, 1, _median_s(step)))
        scoring.append(LatencySample(n, 1, _median_s(partial(_score, graphs, request, current))))
    return LatencyModel.fit(steps), LatencyModel.fit(scoring)


def _median_s(run: Callable[[], object]) -> float:
    """Median seconds of a run, without the first one."""
    seconds = []
    for _ in range(_REPEATS + 1):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds[1:]))


def _run_lists(graphs: Graphs, request: SearchRequest, manifest: Manifest, lists: int) -> None:
    """Generate and evaluate this number of lists."""
    generated = run_sequentially(graphs, generate_feasible_lists(request, manifest, lists))
    run_sequentially(graphs, evaluate_lists(request, manifest, generated))


def _score(graphs: Graphs, request: SearchRequest, lists: Lists) -> None:
    run_sequentially(graphs, score_lists(request, lists))


def default_search_request(
    manifest: Manifest, encoder: FeatureEncoder, candidates: int, *, rules: bool
) -> SearchRequest:
    """A search request of N default items, the default user and no sessions."""
    sizes, schema = manifest.lengths, manifest.features
    list_size = min(sizes.slots, candidates)
    slot_valid = np.arange(sizes.slots) < list_size
    item_rows = np.broadcast_to(
        encoder.default_item_row, (candidates, len(encoder.default_item_row))
    )
    candidate_rows = encoder.encode_candidate_scope(None, np.ones(candidates, dtype=bool), {})
    user = np.concatenate([encoder.default_user_row, encoder.encode_context(1, {})[0]])
    history = (1, sizes.sessions, sizes.session_slots)
    noise_slot, noise_item = draw_noise(manifest, seed=0, lists=_MAX_LISTS, candidates=candidates)
    return SearchRequest(
        fixed_inputs={
            "candidates": np.concatenate([item_rows, candidate_rows], axis=1)[None],
            "cand_valid": np.ones((1, candidates), dtype=bool),
            "slot_valid": slot_valid[None],
            "user": user[None],
            "sessions": np.zeros((*history, column_count(schema.session_fields)), dtype=np.int32),
            "sess_valid": np.zeros(history, dtype=bool),
        },
        input_list=np.where(slot_valid, np.arange(sizes.slots), 0).astype(np.int32),
        slot_valid=slot_valid,
        list_size=list_size,
        rules=_permissive_rules(candidates, slot_valid, count=int(rules)),
        objective=RewardWeights(),
        values=None,
        num_lists=1,
        seed=0,
        noise_slot=noise_slot,
        noise_item=noise_item,
        num_candidates=candidates,
        has_count_rules=rules,
        has_constraints=rules,
    )


def _permissive_rules(candidates: int, slot_valid: NDArray[np.bool_], *, count: int) -> RuleArrays:
    """`count` rules that allow every list."""
    slots = len(slot_valid)
    return RuleArrays(
        allowed=np.ones(candidates, dtype=bool),
        editable=slot_valid,
        member=np.ones((count, candidates), dtype=bool),
        slots=np.broadcast_to(slot_valid, (count, slots)),
        minimum=np.zeros(count, dtype=np.float32),
        maximum=np.full(count, slots, dtype=np.float32),
    )
