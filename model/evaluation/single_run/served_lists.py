"""Proposes, scores and selects lists of logged requests, as the service does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.checkpoint import Checkpoint
from model.contract.scoring.objective import select_lists
from model.data.tables.batches import BatchLoader
from model.data.tables.item_values import gather_item_values
from model.data.tables.log_tables import LogTables
from model.nets.evaluators.abstract_evaluator import Evaluator
from model.search.proposals import EditingOptions, append_refined_list, propose_and_score_lists
from model.search.scorer import EvaluatorScorer

SERVED_BATCH_SIZE = 64


@dataclass(frozen=True, slots=True)
class ServedBatch:
    """Lists of a batch of requests.

    Attributes:
        rows: (B,) rows of the tables.
        scorer: evaluator on the batch.
        lists: list kind ("input", "single", "served") -> (B, M) candidate indices.
        rewards: list kind -> (B,) mean reward over members.
    """

    rows: NDArray[np.intp]
    scorer: EvaluatorScorer
    lists: dict[str, Tensor]
    rewards: dict[str, Tensor]


def serve_requests(
    generator: Checkpoint, evaluator: Checkpoint, tables: LogTables, rows: NDArray[np.intp]
) -> Iterator[ServedBatch]:
    """Yield the lists of the rows, proposed and selected as the service does."""
    config = generator.config
    net, evaluator_net = generator.load_generator(), evaluator.load_evaluator()
    scale = float(generator.metadata["noise_scale"])
    options = replace(
        EditingOptions.from_config(config), num_lists=config.serving.num_lists, noise_scale=scale
    )
    for scorer, batch_rows in scorer_batches(evaluator_net, generator, tables, rows):
        scored = propose_and_score_lists(net, scorer, options)
        scored = append_refined_list(
            scored, scorer, config.serving.risk_aversion, config.refine_rounds
        )
        chosen = torch.from_numpy(
            select_lists(
                scored.rewards.numpy(),
                config.serving.risk_aversion,
                config.serving.known_min_relative_gain,
            )
        )
        mean = scored.rewards.mean(dim=0)
        indices = {
            "input": torch.full_like(chosen, scored.lists.shape[1] - 1),
            "single": torch.zeros_like(chosen),
            "served": chosen,
        }
        requests = torch.arange(len(chosen))
        yield ServedBatch(
            rows=batch_rows,
            scorer=scorer,
            lists={kind: scored.lists[requests, index] for kind, index in indices.items()},
            rewards={kind: mean[requests, index] for kind, index in indices.items()},
        )


def scorer_batches(
    evaluator: Evaluator, generator: Checkpoint, tables: LogTables, rows: NDArray[np.intp]
) -> Iterator[tuple[EvaluatorScorer, NDArray[np.intp]]]:
    """Yield a scorer under the generator's objective and the rows (B,), batch by batch."""
    objective = generator.config.objective
    values = None
    if objective.value and objective.value_field is not None:
        values = torch.from_numpy(gather_item_values(tables, objective.value_field))
    loader = BatchLoader(tables)
    for start in range(0, len(rows), SERVED_BATCH_SIZE):
        batch_rows = rows[start : start + SERVED_BATCH_SIZE]
        request = loader.gather(batch_rows).request
        batch_values = None if values is None else values[torch.from_numpy(batch_rows)]
        weights = objective.to_reward_weights()
        yield EvaluatorScorer(evaluator, request, weights, batch_values), batch_rows
