"""Job: time of one request by a method, PyTorch, one thread, one request at a time.

Run alone, after all that trains: what shares the machine would be in the numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from model.checkpoint import read_checkpoint
from model.evaluation.benchmark.benchmark_scenario import Scenario, benchmark_rows, scenario_loader
from model.evaluation.benchmark.job_cache import BenchmarkJob, JobCache
from model.evaluation.benchmark.proposal_jobs import (
    LIST_COUNTS,
    ProposalJob,
    ProposeLists,
    scenario_objective,
)
from model.evaluation.benchmark.training_jobs import EvaluatorJob
from model.nets.evaluators.abstract_evaluator import Evaluator
from model.nets.request_tensors import RequestTensors, input_list
from model.search.scorer import EvaluatorScorer

LATENCY_REQUESTS, MAX_MEASURING_SECONDS = (
    24,
    4.0,
)  # a point is measured on this many requests, or this long
WARMUP_REQUESTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyJob:
    """Milliseconds of a request: `as_single_array` is one list alone, the others propose and evaluate."""

    proposals: ProposalJob
    evaluator: EvaluatorJob

    @property
    def scenario(self) -> Scenario:
        """Of the lists."""
        return self.proposals.scenario

    @property
    def title(self) -> str:
        """See `BenchmarkJob`."""
        return f"{self.proposals.title} times"

    def cache_key(self) -> str:
        """See `BenchmarkJob`."""
        return f"{LATENCY_REQUESTS} {MAX_MEASURING_SECONDS} {LIST_COUNTS} {self.proposals.search_efforts()}"

    def dependencies(self) -> tuple[BenchmarkJob, ...]:
        """See `BenchmarkJob`."""
        return (self.proposals, self.evaluator)

    def run(self, cache: JobCache) -> None:
        """Write the median over requests for each kind of list."""
        torch.set_num_threads(1)
        propose = self.proposals.build_proposer(cache)
        judge = read_checkpoint(cache.job_dir(self.evaluator)).load_evaluator()
        gatherer = scenario_loader(self.scenario)
        requests = [
            gatherer.gather(np.array([row])).request
            for row in benchmark_rows(self.scenario)[:LATENCY_REQUESTS]
        ]
        rng = torch.Generator().manual_seed(0)
        out = {}
        if not self.proposals.search_efforts():
            out["single"] = _median_ms(requests, lambda request: propose(request, 1, rng))
        for count in self.proposals.search_efforts() or LIST_COUNTS:
            answer = partial(self._propose_and_score, propose, judge, count, rng)
            out[f"served{count}"] = _median_ms(requests, answer)
        cache.write_values(self, out)

    def _propose_and_score(
        self,
        propose: ProposeLists,
        evaluator: Evaluator,
        count: int,
        rng: torch.Generator,
        request: RequestTensors,
    ) -> object:
        """Propose K lists and look at them and the input list through the evaluator."""
        given = input_list(request).unsqueeze(1)
        lists = torch.cat([propose(request, count, rng), given], dim=1)
        return EvaluatorScorer(
            evaluator, request, scenario_objective(self.scenario)
        ).member_rewards(lists)


def _median_ms(requests: list[RequestTensors], handle: Callable[[RequestTensors], object]) -> float:
    for request in requests[:WARMUP_REQUESTS]:
        handle(request)
    taken: list[float] = []
    for request in requests:
        started = time.perf_counter()
        handle(request)
        taken.append(time.perf_counter() - started)
        if sum(taken) > MAX_MEASURING_SECONDS:
            break
    return 1000.0 * float(np.median(taken))
