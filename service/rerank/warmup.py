"""First runs of a new artifact: caches are filled and the cost line is measured.

The requests are made of default items; only their sizes matter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from model.contract.artifact.manifest import GENERATOR_RULES_GRAPH, Manifest
from model.contract.encoding.encoder import FeatureEncoder
from model.contract.rules.rule_arrays import RuleArrays
from model.contract.schema.fitted import column_count
from model.contract.scoring.objective import RewardWeights
from service.rerank.cost import Cost, CostLine, Observation
from service.rerank.ports import Graphs
from service.rerank.refine import inputs
from service.rerank.search import evaluate, generate, judge
from service.rerank.steps import answered
from service.rerank.task import Lists, Task

_REPEATS = 5
_MOST_LISTS = 32


def measure(graphs: Graphs, manifest: Manifest, max_candidates: int) -> dict[bool, Cost]:
    """Cost of the graphs without rules and, where there are such, with them."""
    encoder = FeatureEncoder(manifest.features)
    most = min(max_candidates, manifest.lengths.max_candidates)
    sizes = sorted({min(12, most), most})
    found = {}
    for rules in (False, True) if GENERATOR_RULES_GRAPH in manifest.graphs else (False,):
        tasks = {n: blank_task(manifest, encoder, n, rules) for n in sizes}
        runs = [
            Observation(n, k, _seconds(partial(_lists, graphs, tasks[n], manifest, k)))
            for n in sizes
            for k in (1, 8, _MOST_LISTS)
        ]
        refining = _refining(graphs, tasks, manifest) if manifest.refine_rounds else ()
        found[rules] = Cost(CostLine.fit(runs), *refining)
    return found


def _refining(
    graphs: Graphs, tasks: Mapping[int, Task], manifest: Manifest
) -> tuple[CostLine, CostLine]:
    """Of one step of refinement, and of judging the one list that is reached."""
    steps, judged = [], []
    for n, task in tasks.items():
        answered(graphs, generate(task, manifest, 1))  # what is computed of a request is kept
        at = task.start[None]
        step = partial(graphs.refine, inputs(task, manifest) | {"at": at}, rules=task.has_rows)
        steps.append(Observation(n, 1, _seconds(step)))
        judged.append(Observation(n, 1, _seconds(partial(_judge, graphs, task, at))))
    return CostLine.fit(steps), CostLine.fit(judged)


def _seconds(run: Callable[[], object]) -> float:
    """Median seconds of one run after a first one that does not count."""
    spent = []
    for _ in range(_REPEATS + 1):
        began = time.perf_counter()
        run()
        spent.append(time.perf_counter() - began)
    return float(np.median(spent[1:]))


def _lists(graphs: Graphs, task: Task, manifest: Manifest, lists: int) -> None:
    """Generate and evaluate so many."""
    made = answered(graphs, generate(task, manifest, lists))
    answered(graphs, evaluate(task, manifest, made))


def _judge(graphs: Graphs, task: Task, lists: Lists) -> None:
    answered(graphs, judge(task, lists))


def blank_task(manifest: Manifest, encoder: FeatureEncoder, candidates: int, rules: bool) -> Task:
    """A request of default items, user and sessions, at the size asked for."""
    sizes, schema = manifest.lengths, manifest.features
    size = min(sizes.slots, candidates)
    slot_valid = np.arange(sizes.slots) < size
    rows = np.broadcast_to(encoder.default_item_row, (candidates, len(encoder.default_item_row)))
    offered = encoder.encode_candidate_scope(None, np.ones(candidates, dtype=bool), {})
    history = (1, sizes.sessions, sizes.session_slots)
    count = int(rules)
    return Task(
        context={
            "candidates": np.concatenate([rows, offered], axis=1)[None],
            "cand_valid": np.ones((1, candidates), dtype=bool),
            "slot_valid": slot_valid[None],
            "user": np.concatenate([encoder.default_user_row, encoder.encode_context(1, {})[0]])[
                None
            ],
            "sessions": np.zeros((*history, column_count(schema.session_fields)), dtype=np.int32),
            "sess_valid": np.zeros(history, dtype=bool),
        },
        start=np.where(slot_valid, np.arange(sizes.slots), 0).astype(np.int32),
        slot_valid=slot_valid,
        size=size,
        rules=RuleArrays(
            allowed=np.ones(candidates, dtype=bool),
            editable=slot_valid,
            member=np.ones((count, candidates), dtype=bool),
            slots=np.broadcast_to(slot_valid, (count, sizes.slots)),
            minimum=np.zeros(count, dtype=np.float32),
            maximum=np.full(count, sizes.slots, dtype=np.float32),
        ),
        objective=RewardWeights(),
        values=None,
        num_lists=1,
        seed=0,
        ruled=rules,
    )
