"""Jobs that make lists: methods are trained, and propose lists for the same test requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from model.baselines.judge import Judge
from model.baselines.ranker import Ranker
from model.baselines.registry import METHODS, Materials
from model.checkpoint import Checkpoint, read_checkpoint
from model.contract.choice import Objective
from model.loop import told
from model.nets.evaluator import Evaluator
from model.nets.inputs import RequestTensors
from model.offline_report.comparison.jobs import Job, Store, digest
from model.offline_report.comparison.problems import Problem, exact, request_batches, tables_of
from model.offline_report.comparison.shuffling import Shuffle
from model.offline_report.comparison.training import EvaluatorJob, GeneratorJob
from model.proposals import Editing, generate_lists
from model.search import Scorer

COUNTS = (1, 2, 4, 8, 16, 32, 64)  # K
SERVED = 8  # the K of every table
EFFORTS = {"hill_climbing": (1, 4, 16), "beam_search": (1, 8, 64), "exact": (1,)}
LARGE_EFFORTS = {"hill_climbing": (1, 2), "beam_search": (1, 8)}  # a step there costs M N lists
Propose = Callable[[RequestTensors, int, torch.Generator], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class FitJob:
    """One method made ready, trained where it learns.

    evaluator: only for methods that ask one.
    """

    problem: Problem
    seed: int
    method: str
    evaluator: EvaluatorJob | None = None

    @property
    def title(self) -> str:
        """See `Job`."""
        return f"{self.problem.name} {self.method} {self.seed}{_whose(self.evaluator)}"

    def depends_on(self) -> str:
        """See `Job`."""
        config, problem = self.problem.seeded(self.seed), self.problem
        size = (config.evaluator.width, config.evaluator.hidden)
        return f"{self.method} {problem.fingerprint} {size} {told(config.train_evaluator)}"

    def needs(self) -> tuple[Job, ...]:
        """See `Job`."""
        return () if self.evaluator is None else (self.evaluator,)

    def run(self, store: Store) -> None:
        """See `Job`."""
        self.ranker(store)

    def ranker(self, store: Store) -> Ranker:
        """The method; what is trained already is only read."""
        judge = None
        if self.evaluator is not None:
            net = read_checkpoint(store.folder(self.evaluator)).evaluator()
            judge = Judge(net, objective_of(self.problem))
        materials = Materials(
            tables=tables_of(self.problem),
            config=self.problem.seeded(self.seed),
            judge=judge,
            judge_id="" if self.evaluator is None else digest(self.evaluator),
            folder=store.folder(self),
        )
        return METHODS[self.method].build(materials)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListsJob:
    """Lists that a method or a generator of ours proposes.

    count: how many, where the method has no effort.
    """

    source: FitJob | GeneratorJob
    count: int = COUNTS[-1]

    @property
    def problem(self) -> Problem:
        """Of the source."""
        return self.source.problem

    @property
    def method(self) -> str:
        """What rows call it: the method, or the variant of our generator."""
        source = self.source
        return source.method if isinstance(source, FitJob) else source.variant

    @property
    def title(self) -> str:
        """See `Job`."""
        return f"{self.source.title} lists"

    def depends_on(self) -> str:
        """See `Job`."""
        efforts = f"{EFFORTS} {LARGE_EFFORTS}"
        return f"{self.problem.requests} {self.count} {COUNTS} {SERVED} {efforts}"

    def needs(self) -> tuple[Job, ...]:
        """See `Job`."""
        return (self.source,)

    def run(self, store: Store) -> None:
        """Write proposals (R, C, M), and those of shuffled requests, in the request's own places.

        For methods whose K lists begin with their K-1 lists C is the largest K. Searches have one
        answer for each effort.
        """
        propose = self.proposer(store)
        shuffle = Shuffle(tables_of(self.problem).schema, seed=0)
        made, shuffled = [], []
        for part, request in request_batches(self.problem):
            rng = torch.Generator().manual_seed(1_000_003 * self.source.seed + part.start)
            made.append(self.answers(propose, request, rng))
            if not self.efforts():
                mixed, back = shuffle(request)
                again = propose(mixed, SERVED, rng)
                shuffled.append(back.gather(1, again.flatten(1)).view(again.shape))
        arrays = {"lists": torch.cat(made).numpy().astype(np.int16)}
        if shuffled:
            arrays["shuffled"] = torch.cat(shuffled).numpy().astype(np.int16)
        store.write_arrays(self, arrays)

    def efforts(self) -> tuple[int, ...]:
        """Climbs, or the beam's width; empty for a method that proposes lists."""
        large = {} if exact(self.problem) else LARGE_EFFORTS
        return (EFFORTS | large).get(self.method, ())

    def groups(self) -> list[tuple[int, int, int]]:
        """(K or effort, first, end): which of the kept lists are compared with the input list."""
        if self.efforts():
            return [(effort, at, at + 1) for at, effort in enumerate(self.efforts())]
        return [(count, 0, count) for count in COUNTS if count <= self.count]

    def answers(self, propose: Propose, request: RequestTensors, rng: torch.Generator) -> Tensor:
        """(B, C, M) lists of a batch."""
        if self.efforts():
            return torch.cat([propose(request, k, rng)[:, :1] for k in self.efforts()], dim=1)
        if self.method == "random":  # sorts by the evaluator: nested only if drawn one by one
            return torch.cat([propose(request, 1, rng) for _ in range(self.count)], dim=1)
        return propose(request, self.count, rng)

    def proposer(self, store: Store) -> Propose:
        """The trained method as a function."""
        if isinstance(self.source, FitJob):
            return self.source.ranker(store).propose
        evaluator = read_checkpoint(store.folder(self.source.evaluator)).evaluator()
        return _ours(read_checkpoint(store.folder(self.source)), evaluator)


def objective_of(problem: Problem) -> Objective:
    """What a list is worth."""
    return problem.config.objective.weights()


def _whose(evaluator: EvaluatorJob | None) -> str:
    return "" if evaluator is None or evaluator.users == "all" else f" {evaluator.users}"


def _ours(made: Checkpoint, evaluator: Evaluator) -> Propose:
    """The generator as serving would use it, beside the evaluator that taught it."""
    net = made.generator()
    how = replace(Editing.of(made.config), scale=float(made.facts["noise_scale"]))

    def propose(request: RequestTensors, num_lists: int, rng: torch.Generator) -> Tensor:
        scorer = Scorer(evaluator, request, made.config.objective.weights())
        return generate_lists(net, scorer, replace(how, num_lists=num_lists))

    return propose
