"""Job that scores all neighbors of the input list and of the generator's list."""

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
    """Counts neighbors by how they differ from their list, and measures their gains."""

    proposals: ProposalJob
    evaluator: EvaluatorJob

    @property
    def scenario(self) -> Scenario:
        """Scenario of the proposals."""
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
        """Write the gains of all neighbors of the input and the single list, and counts by kind.

        Kinds: `replaced` differs in one slot, `swapped` by one swap, `other` is expected to be 0.
        """
        evaluator = read_checkpoint(cache.job_dir(self.evaluator)).load_evaluator()
        single_lists = torch.from_numpy(
            cache.read_arrays(self.proposals)["lists"][:NEIGHBORHOOD_REQUESTS, 0].astype(np.int64)
        )
        gains: dict[str, list[Tensor]] = {"input": [], "single": []}
        counts = dict.fromkeys(NEIGHBOR_KINDS, 0)
        for part, request in request_batches(self.scenario, NEIGHBORHOOD_REQUESTS):
            scorer = EvaluatorScorer(evaluator, request, scenario_objective(self.scenario))
            starts = {"input": input_list(request), "single": single_lists[part]}
            for name, start in starts.items():
                neighbors, kind = _classified_neighbors(start, request)
                base = scorer(start.unsqueeze(1))
                gains[name].append((scorer(neighbors) - base)[kind != _SAME])
                for kind_name, number in NEIGHBOR_KINDS.items():
                    counts[kind_name] += int((kind == number).sum())
        arrays: JobArrays = {name: torch.cat(parts).numpy() for name, parts in gains.items()}
        cache.write_arrays(self, arrays)
        shares = {f"better_{name}": float((g > 0).mean()) for name, g in arrays.items()}
        cache.write_values(self, {**counts, **shares, "requests": len(single_lists)})


def _classified_neighbors(start: Tensor, request: RequestTensors) -> tuple[Tensor, Tensor]:
    """All neighbors (B, L, M) of lists (B, M), and the kind (B, L) of each."""
    valid = request.slot_valid
    neighbors = all_neighbors(start, request.cand_valid.shape[1], valid)  # (B, M, N, M)
    allowed = valid.unsqueeze(2) & request.cand_valid.unsqueeze(1)
    lists, allowed = neighbors.flatten(1, 2), allowed.flatten(1, 2)
    differs = (lists != start.unsqueeze(1)) & valid.unsqueeze(1)
    count = differs.sum(dim=-1)
    new_items = lists.masked_fill(~differs, -1).sort(dim=-1).values
    old_items = start.unsqueeze(1).expand_as(lists).masked_fill(~differs, -1).sort(dim=-1).values
    swap = (count == 2) & (new_items == old_items).all(dim=-1)
    kind = torch.full(count.shape, _OTHER)
    kind[count == 1] = _REPLACED
    kind[swap] = _SWAPPED
    kind[(count == 0) | ~allowed] = _SAME
    return lists, kind
