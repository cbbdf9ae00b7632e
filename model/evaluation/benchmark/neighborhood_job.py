"""Job: what lies one edit away. All neighbors of the input list and of the generator's list."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.checkpoint import read_checkpoint
from model.evaluation.benchmark.benchmark_scenario import Scenario, request_batches
from model.evaluation.benchmark.job_cache import BenchmarkJob, JobArrays, JobCache
from model.evaluation.benchmark.proposal_jobs import ProposalJob, scenario_objective
from model.evaluation.benchmark.training_jobs import EvaluatorJob
from model.nets.request_tensors import RequestTensors, input_list
from model.search.neighbors import all_neighbors
from model.search.scorer import EvaluatorScorer

NEIGHBORHOOD_REQUESTS = 200
_REPLACED, _SWAPPED, _OTHER, _SAME = range(4)  # how a neighbor differs from its list
NEIGHBOR_KINDS = {"replaced": _REPLACED, "swapped": _SWAPPED, "other": _OTHER}


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighborhoodJob:
    """Neighbors of lists: how they differ, and what they gain by the evaluator."""

    proposals: ProposalJob
    evaluator: EvaluatorJob

    @property
    def scenario(self) -> Scenario:
        """Of the lists."""
        return self.proposals.scenario

    @property
    def title(self) -> str:
        """See `BenchmarkJob`."""
        return f"{self.proposals.title} neighbors"

    def cache_key(self) -> str:
        """See `BenchmarkJob`."""
        return f"{NEIGHBORHOOD_REQUESTS}"

    def dependencies(self) -> tuple[BenchmarkJob, ...]:
        """See `BenchmarkJob`."""
        return (self.proposals, self.evaluator)

    def run(self, cache: JobCache) -> None:
        """Write the gains of all neighbors of input and single list, and how they differ.

        `replaced`, `swapped`, `other`: neighbors that differ in one slot, that are one swap away,
        and the rest, of which there may be none.
        """
        judge = read_checkpoint(cache.job_dir(self.evaluator)).load_evaluator()
        kept = torch.from_numpy(
            cache.read_arrays(self.proposals)["lists"][:NEIGHBORHOOD_REQUESTS, 0].astype(np.int64)
        )
        gains: dict[str, list[Tensor]] = {"input": [], "single": []}
        counts = dict.fromkeys(NEIGHBOR_KINDS, 0)
        for part, request in request_batches(self.scenario, NEIGHBORHOOD_REQUESTS):
            scorer = EvaluatorScorer(judge, request, scenario_objective(self.scenario))
            starts = {"input": input_list(request), "single": kept[part]}
            for name, start in starts.items():
                neighbors, kind = _classified_neighbors(start, request)
                base = scorer(start.unsqueeze(1))
                gains[name].append((scorer(neighbors) - base)[kind != _SAME])
                for what, number in NEIGHBOR_KINDS.items():
                    counts[what] += int((kind == number).sum())
        arrays: JobArrays = {name: torch.cat(found).numpy() for name, found in gains.items()}
        cache.write_arrays(self, arrays)
        shares = {f"better_{name}": float((g > 0).mean()) for name, g in arrays.items()}
        cache.write_values(self, {**counts, **shares, "requests": len(kept)})


def _classified_neighbors(start: Tensor, request: RequestTensors) -> tuple[Tensor, Tensor]:
    """All neighbors (B, L, M) of lists (B, M), and how each differs (B, L)."""
    valid = request.slot_valid
    neighbors = all_neighbors(start, request.cand_valid.shape[1], valid)  # (B, M, N, M)
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
