"""The lists that generator, evaluator and choice would serve to requests of the test part."""

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
    """What a batch of requests would get.

    rows: (B,) rows of the tables.
    scorer: the evaluator on the batch.
    lists: kind ("input", "single", "served") -> (B, M) places in the candidates.
    rewards: kind -> (B,) mean reward over members.
    """

    rows: NDArray[np.intp]
    scorer: EvaluatorScorer
    lists: dict[str, Tensor]
    rewards: dict[str, Tensor]


def serve_requests(
    generator: Checkpoint, evaluator: Checkpoint, tables: LogTables, rows: NDArray[np.intp]
) -> Iterator[ServedBatch]:
    """Lists as the service would find and choose them; request noise is seeded by its place."""
    config = generator.config
    net, judge = generator.load_generator(), evaluator.load_evaluator()
    scale = float(generator.metadata["noise_scale"])
    how = replace(
        EditingOptions.from_config(config), num_lists=config.serving.num_lists, noise_scale=scale
    )
    for scorer, some in scorer_batches(judge, generator, tables, rows):
        made = propose_and_score_lists(net, scorer, how)
        made = append_refined_list(made, scorer, config.serving.risk_aversion, config.refine_rounds)
        chosen = torch.from_numpy(select_lists(made.rewards.numpy(), config.serving.risk_aversion))
        mean = made.rewards.mean(dim=0)
        places = {
            "input": torch.full_like(chosen, made.lists.shape[1] - 1),
            "single": torch.zeros_like(chosen),
            "served": chosen,
        }
        at = torch.arange(len(chosen))
        yield ServedBatch(
            some,
            scorer,
            {kind: made.lists[at, place] for kind, place in places.items()},
            {kind: mean[at, place] for kind, place in places.items()},
        )


def scorer_batches(
    evaluator: Evaluator, generator: Checkpoint, tables: LogTables, rows: NDArray[np.intp]
) -> Iterator[tuple[EvaluatorScorer, NDArray[np.intp]]]:
    """An evaluator on the requests, batch by batch, under the generator's objective."""
    objective = generator.config.objective
    values = None
    if objective.value and objective.value_field is not None:
        values = torch.from_numpy(gather_item_values(tables, objective.value_field))
    gatherer = BatchLoader(tables)
    for at in range(0, len(rows), SERVED_BATCH_SIZE):
        some = rows[at : at + SERVED_BATCH_SIZE]
        request = gatherer.gather(some).request
        own = None if values is None else values[torch.from_numpy(some)]
        yield EvaluatorScorer(evaluator, request, objective.to_reward_weights(), own), some
