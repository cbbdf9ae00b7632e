"""The lists that generator, evaluator and choice would serve to requests of the test part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.checkpoint import Checkpoint
from model.contract.choice import choose
from model.data.batches import Gatherer
from model.data.log_tables import LogTables
from model.data.values import candidate_values
from model.nets.evaluator import Evaluator
from model.proposals import Editing, propose_lists, refine_chosen
from model.search import Scorer

BATCH = 64


@dataclass(frozen=True, slots=True)
class Served:
    """What a batch of requests would get.

    rows: (B,) rows of the tables.
    scorer: the evaluator on the batch.
    lists: kind ("input", "single", "served") -> (B, M) places in the candidates.
    rewards: kind -> (B,) mean reward over members.
    """

    rows: NDArray[np.intp]
    scorer: Scorer
    lists: dict[str, Tensor]
    rewards: dict[str, Tensor]


def serve(
    generator: Checkpoint, evaluator: Checkpoint, tables: LogTables, rows: NDArray[np.intp]
) -> Iterator[Served]:
    """Lists as the service would find and choose them; request noise is seeded by its place."""
    config = generator.config
    net, judge = generator.generator(), evaluator.evaluator()
    scale = float(generator.facts["noise_scale"])
    how = replace(Editing.of(config), num_lists=config.serving.num_lists, scale=scale)
    for scorer, some in scorers(judge, generator, tables, rows):
        made = propose_lists(net, scorer, how)
        made = refine_chosen(made, scorer, config.serving.pessimism, config.refine_rounds)
        chosen = torch.from_numpy(choose(made.rewards.numpy(), config.serving.pessimism))
        mean = made.rewards.mean(dim=0)
        places = {
            "input": torch.full_like(chosen, made.lists.shape[1] - 1),
            "single": torch.zeros_like(chosen),
            "served": chosen,
        }
        at = torch.arange(len(chosen))
        yield Served(
            some,
            scorer,
            {kind: made.lists[at, place] for kind, place in places.items()},
            {kind: mean[at, place] for kind, place in places.items()},
        )


def scorers(
    judge: Evaluator, generator: Checkpoint, tables: LogTables, rows: NDArray[np.intp]
) -> Iterator[tuple[Scorer, NDArray[np.intp]]]:
    """An evaluator on the requests, batch by batch, under the generator's objective."""
    objective = generator.config.objective
    values = None
    if objective.value and objective.value_field is not None:
        values = torch.from_numpy(candidate_values(tables, objective.value_field))
    gatherer = Gatherer(tables)
    for at in range(0, len(rows), BATCH):
        some = rows[at : at + BATCH]
        request = gatherer.gather(some).request
        own = None if values is None else values[torch.from_numpy(some)]
        yield Scorer(judge, request, objective.weights(), own), some
