"""Job that measures the latency of one request: PyTorch, one thread, batch of one.

Must run alone, because other processes on the machine change the result.
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

LATENCY_REQUESTS = 24  # measured requests of each list kind
MAX_MEASURING_SECONDS = 4.0  # stops the measurement of one list kind early
WARMUP_REQUESTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyJob:
    """Milliseconds a request: `single` proposes one list, `served{K}` proposes and scores K."""

    proposals: ProposalJob
    evaluator: EvaluatorJob

    @property
    def scenario(self) -> Scenario:
        """Scenario of the proposals."""
        return self.proposals.scenario

    @property
    def title(self) -> str:
        """See `BenchmarkJob`."""
        return f"{self.proposals.title} times"

    def cache_key(self) -> str:
        """See `BenchmarkJob`."""
        efforts = self.proposals.search_efforts()
        return f"{LATENCY_REQUESTS} {MAX_MEASURING_SECONDS} {LIST_COUNTS} {efforts}"

    def dependencies(self) -> tuple[BenchmarkJob, ...]:
        """See `BenchmarkJob`."""
        return (self.proposals, self.evaluator)

    def run(self, cache: JobCache) -> None:
        """Write the median over requests for each list kind."""
        torch.set_num_threads(1)
        propose = self.proposals.build_proposer(cache)
        evaluator = read_checkpoint(cache.job_dir(self.evaluator)).load_evaluator()
        loader = scenario_loader(self.scenario)
        requests = [
            loader.gather(np.array([row])).request
            for row in benchmark_rows(self.scenario)[:LATENCY_REQUESTS]
        ]
        rng = torch.Generator().manual_seed(0)
        out = {}
        if not self.proposals.search_efforts():
            out["single"] = _median_ms(requests, lambda request: propose(request, 1, rng))
        for count in self.proposals.search_efforts() or LIST_COUNTS:
            handle = partial(self._propose_and_score, propose, evaluator, count, rng)
            out[f"served{count}"] = _median_ms(requests, handle)
        cache.write_values(self, out)

    def _propose_and_score(
        self,
        propose: ProposeLists,
        evaluator: Evaluator,
        count: int,
        rng: torch.Generator,
        request: RequestTensors,
    ) -> object:
        """Propose K lists, and score them and the input list."""
        inputs = input_list(request).unsqueeze(1)
        lists = torch.cat([propose(request, count, rng), inputs], dim=1)
        return EvaluatorScorer(
            evaluator, request, scenario_objective(self.scenario)
        ).member_rewards(lists)


def _median_ms(requests: list[RequestTensors], handle: Callable[[RequestTensors], object]) -> float:
    for request in requests[:WARMUP_REQUESTS]:
        handle(request)
    durations: list[float] = []
    for request in requests:
        started = time.perf_counter()
        handle(request)
        durations.append(time.perf_counter() - started)
        if sum(durations) > MAX_MEASURING_SECONDS:
            break
    return 1000.0 * float(np.median(durations))
