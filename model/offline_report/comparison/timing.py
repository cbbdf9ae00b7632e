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
from model.nets.evaluator import Evaluator
from model.nets.inputs import RequestTensors, input_list
from model.offline_report.comparison.jobs import Job, Store
from model.offline_report.comparison.listing import COUNTS, ListsJob, Propose, objective_of
from model.offline_report.comparison.problems import Problem, gatherer_of, measured_rows
from model.offline_report.comparison.training import EvaluatorJob
from model.search import Scorer

REQUESTS, SECONDS = 24, 4.0  # a point is measured on this many requests, or this long
WARM = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class TimesJob:
    """Milliseconds of a request: `single` is one list alone, the others propose and evaluate."""

    lists: ListsJob
    judge: EvaluatorJob

    @property
    def problem(self) -> Problem:
        """Of the lists."""
        return self.lists.problem

    @property
    def title(self) -> str:
        """See `Job`."""
        return f"{self.lists.title} times"

    def depends_on(self) -> str:
        """See `Job`."""
        return f"{REQUESTS} {SECONDS} {COUNTS} {self.lists.efforts()}"

    def needs(self) -> tuple[Job, ...]:
        """See `Job`."""
        return (self.lists, self.judge)

    def run(self, store: Store) -> None:
        """Write the median over requests for each kind of list."""
        torch.set_num_threads(1)
        propose = self.lists.proposer(store)
        judge = read_checkpoint(store.folder(self.judge)).evaluator()
        gatherer = gatherer_of(self.problem)
        requests = [
            gatherer.gather(np.array([row])).request
            for row in measured_rows(self.problem)[:REQUESTS]
        ]
        rng = torch.Generator().manual_seed(0)
        out = {}
        if not self.lists.efforts():
            out["single"] = _median_ms(requests, lambda request: propose(request, 1, rng))
        for count in self.lists.efforts() or COUNTS:
            answer = partial(self._answer, propose, judge, count, rng)
            out[f"served{count}"] = _median_ms(requests, answer)
        store.write_numbers(self, out)

    def _answer(
        self,
        propose: Propose,
        judge: Evaluator,
        count: int,
        rng: torch.Generator,
        request: RequestTensors,
    ) -> object:
        """Propose K lists and look at them and the input list through the evaluator."""
        given = input_list(request).unsqueeze(1)
        lists = torch.cat([propose(request, count, rng), given], dim=1)
        return Scorer(judge, request, objective_of(self.problem)).members(lists)


def _median_ms(requests: list[RequestTensors], answer: Callable[[RequestTensors], object]) -> float:
    for request in requests[:WARM]:
        answer(request)
    taken: list[float] = []
    for request in requests:
        started = time.perf_counter()
        answer(request)
        taken.append(time.perf_counter() - started)
        if sum(taken) > SECONDS:
            break
    return 1000.0 * float(np.median(taken))
