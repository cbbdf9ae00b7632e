"""Lists that two trained nets give for requests: served, in relevance order, and the best one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from model.checkpoint import Checkpoint
from model.data.tables.log_tables import LogTables
from model.evaluation.list_space import all_list_rewards, is_enumerable
from model.evaluation.single_run.served_lists import serve_requests
from model.nets.generators.abstract_generator import Generator
from model.search.scorer import EvaluatorScorer, enumerate_lists

LISTS, PROMISED = "lists_", "promised_"  # prefixes of the arrays of one kind of list


def measure_pipeline_lists(
    generator: Checkpoint, evaluator: Checkpoint, tables: LogTables, rows: NDArray[np.intp]
) -> dict[str, NDArray[Any]]:
    """Arrays `lists_KIND` (R, M) and `promised_KIND` (R,) for full requests.

    Kinds are `input`, `single` and `served`; `relevance` where the nets have a relevance order;
    `exact`, the best list under the evaluator, where all lists can be enumerated.
    """
    net = generator.load_generator()
    enumerable = is_enumerable(tables.max_candidates, tables.slots)
    parts: dict[str, list[NDArray[Any]]] = {}
    for batch in serve_requests(generator, evaluator, tables, rows):
        lists, rewards = dict(batch.lists), dict(batch.rewards)
        relevance = relevance_order(net, batch.scorer)
        if relevance is not None:
            lists["relevance"] = relevance
            rewards["relevance"] = batch.scorer(relevance.unsqueeze(1)).squeeze(1)
        if enumerable:
            lists["exact"], rewards["exact"] = _best_list(batch.scorer)
        for kind, chosen in lists.items():
            parts.setdefault(LISTS + kind, []).append(chosen.numpy())
            parts.setdefault(PROMISED + kind, []).append(rewards[kind].numpy())
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def relevance_order(net: Generator, scorer: EvaluatorScorer) -> Tensor | None:
    """(B, M) candidates of the highest relevance without any search; None without relevance."""
    weights = scorer.reward_weight_tensors(relative=True)
    scores = net.relevance_scores(
        scorer.encoded_request, weights.click_weight, weights.conversion_weight
    )
    if scores is None:
        return None
    slots = scorer.request.slot_valid.shape[1]
    return scores.argsort(dim=1, descending=True, stable=True)[:, :slots]


def _best_list(scorer: EvaluatorScorer) -> tuple[Tensor, Tensor]:
    """(B, M) lists of the highest mean reward, and those rewards (B,)."""
    rewards, index = all_list_rewards(scorer).max(dim=1)
    n, m = scorer.request.cand_valid.shape[1], scorer.request.slot_valid.shape[1]
    return enumerate_lists(n, m)[index], rewards
