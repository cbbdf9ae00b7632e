"""Job: what lies one edit away. All neighbors of the input list and of the generator's list."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.checkpoint import read_checkpoint
from model.neighbors import all_edits
from model.nets.inputs import RequestTensors, input_list
from model.offline_report.comparison.jobs import Arrays, Job, Store
from model.offline_report.comparison.listing import ListsJob, objective_of
from model.offline_report.comparison.problems import Problem, request_batches
from model.offline_report.comparison.training import EvaluatorJob
from model.search import Scorer

REQUESTS = 200
_REPLACED, _SWAPPED, _OTHER, _SAME = range(4)  # how a neighbor differs from its list
KINDS = {"replaced": _REPLACED, "swapped": _SWAPPED, "other": _OTHER}


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighborsJob:
    """Neighbors of lists: how they differ, and what they gain by the evaluator."""

    lists: ListsJob
    judge: EvaluatorJob

    @property
    def problem(self) -> Problem:
        """Of the lists."""
        return self.lists.problem

    @property
    def title(self) -> str:
        """See `Job`."""
        return f"{self.lists.title} neighbors"

    def depends_on(self) -> str:
        """See `Job`."""
        return f"{REQUESTS}"

    def needs(self) -> tuple[Job, ...]:
        """See `Job`."""
        return (self.lists, self.judge)

    def run(self, store: Store) -> None:
        """Write the gains of all neighbors of input and single list, and how they differ.

        `replaced`, `swapped`, `other`: neighbors that differ in one slot, that are one swap away,
        and the rest, of which there may be none.
        """
        judge = read_checkpoint(store.folder(self.judge)).evaluator()
        kept = torch.from_numpy(store.arrays(self.lists)["lists"][:REQUESTS, 0].astype(np.int64))
        gains: dict[str, list[Tensor]] = {"input": [], "single": []}
        counts = dict.fromkeys(KINDS, 0)
        for part, request in request_batches(self.problem, REQUESTS):
            scorer = Scorer(judge, request, objective_of(self.problem))
            starts = {"input": input_list(request), "single": kept[part]}
            for name, start in starts.items():
                neighbors, kind = _edits(start, request)
                base = scorer(start.unsqueeze(1))
                gains[name].append((scorer(neighbors) - base)[kind != _SAME])
                for what, number in KINDS.items():
                    counts[what] += int((kind == number).sum())
        arrays: Arrays = {name: torch.cat(found).numpy() for name, found in gains.items()}
        store.write_arrays(self, arrays)
        shares = {f"better_{name}": float((g > 0).mean()) for name, g in arrays.items()}
        store.write_numbers(self, {**counts, **shares, "requests": len(kept)})


def _edits(start: Tensor, request: RequestTensors) -> tuple[Tensor, Tensor]:
    """All neighbors (B, L, M) of lists (B, M), and how each differs (B, L)."""
    valid = request.slot_valid
    neighbors = all_edits(start, request.cand_valid.shape[1], valid)  # (B, M, N, M)
    allowed = valid.unsqueeze(2) & request.cand_valid.unsqueeze(1)
    lists, allowed = neighbors.flatten(1, 2), allowed.flatten(1, 2)
    differs = (lists != start.unsqueeze(1)) & valid.unsqueeze(1)
    count = differs.sum(dim=-1)
    held = lists.masked_fill(~differs, -1).sort(dim=-1).values
    was = start.unsqueeze(1).expand_as(lists).masked_fill(~differs, -1).sort(dim=-1).values
    swap = (count == 2) & (held == was).all(dim=-1)
    kind = torch.full(count.shape, _OTHER)
    kind[count == 1] = _REPLACED
    kind[swap] = _SWAPPED
    kind[(count == 0) | ~allowed] = _SAME
    return lists, kind
