"""Jobs that make lists: methods are trained, and propose lists for the same test requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from model.baselines.frozen_evaluator import FrozenEvaluator
from model.baselines.ranker import Ranker
from model.baselines.registry import BASELINE_METHODS, BaselineInputs
from model.checkpoint import Checkpoint, read_checkpoint
from model.contract.scoring.objective import RewardWeights
from model.evaluation.benchmark.benchmark_scenario import (
    Scenario,
    has_enumerable_lists,
    request_batches,
    scenario_tables,
)
from model.evaluation.benchmark.candidate_shuffle import CandidateShuffle
from model.evaluation.benchmark.job_cache import BenchmarkJob, JobCache, job_digest
from model.evaluation.benchmark.training_jobs import EvaluatorJob, GeneratorJob
from model.nets.evaluators.abstract_evaluator import Evaluator
from model.nets.request_tensors import RequestTensors
from model.search.proposals import EditingOptions, generate_lists
from model.search.scorer import EvaluatorScorer
from model.training.trainer import settings_text

LIST_COUNTS = (1, 2, 4, 8, 16, 32, 64)  # K
SERVED_LIST_COUNT = 8  # the K of every table
SEARCH_EFFORTS = {"hill_climbing": (1, 4, 16), "beam_search": (1, 8, 64), "exact": (1,)}
LARGE_SPACE_EFFORTS = {
    "hill_climbing": (1, 2),
    "beam_search": (1, 8),
}  # a step there costs M N lists
ProposeLists = Callable[[RequestTensors, int, torch.Generator], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineJob:
    """One method made ready, trained where it learns.

    evaluator: only for methods that ask one.
    """

    scenario: Scenario
    seed: int
    method: str
    evaluator: EvaluatorJob | None = None

    @property
    def title(self) -> str:
        """See `BenchmarkJob`."""
        return f"{self.scenario.name} {self.method} {self.seed}{_subset_suffix(self.evaluator)}"

    def cache_key(self) -> str:
        """See `BenchmarkJob`."""
        config, problem = self.scenario.config_with_seed(self.seed), self.scenario
        size = (config.evaluator.width, config.evaluator.hidden)
        return f"{self.method} {problem.fingerprint} {size} {settings_text(config.train_evaluator)}"

    def dependencies(self) -> tuple[BenchmarkJob, ...]:
        """See `BenchmarkJob`."""
        return () if self.evaluator is None else (self.evaluator,)

    def run(self, cache: JobCache) -> None:
        """See `BenchmarkJob`."""
        self.build_ranker(cache)

    def build_ranker(self, cache: JobCache) -> Ranker:
        """The method; what is trained already is only read."""
        judge = None
        if self.evaluator is not None:
            net = read_checkpoint(cache.job_dir(self.evaluator)).load_evaluator()
            judge = FrozenEvaluator(net, scenario_objective(self.scenario))
        materials = BaselineInputs(
            tables=scenario_tables(self.scenario),
            config=self.scenario.config_with_seed(self.seed),
            evaluator=judge,
            evaluator_id="" if self.evaluator is None else job_digest(self.evaluator),
            folder=cache.job_dir(self),
        )
        return BASELINE_METHODS[self.method].build(materials)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalJob:
    """Lists that a method or a generator of ours proposes.

    count: how many, where the method has no effort.
    """

    source: BaselineJob | GeneratorJob
    num_lists: int = LIST_COUNTS[-1]

    @property
    def scenario(self) -> Scenario:
        """Of the source."""
        return self.source.scenario

    @property
    def method(self) -> str:
        """What rows call it: the method, or the variant of our generator."""
        source = self.source
        return source.method if isinstance(source, BaselineJob) else source.variant

    @property
    def title(self) -> str:
        """See `BenchmarkJob`."""
        return f"{self.source.title} lists"

    def cache_key(self) -> str:
        """See `BenchmarkJob`."""
        efforts = f"{SEARCH_EFFORTS} {LARGE_SPACE_EFFORTS}"
        return f"{self.scenario.max_requests} {self.num_lists} {LIST_COUNTS} {SERVED_LIST_COUNT} {efforts}"

    def dependencies(self) -> tuple[BenchmarkJob, ...]:
        """See `BenchmarkJob`."""
        return (self.source,)

    def run(self, cache: JobCache) -> None:
        """Write proposals (R, C, M), and those of shuffled requests, in the request's own places.

        For methods whose K lists begin with their K-1 lists C is the largest K. Searches have one
        answer for each effort.
        """
        propose = self.build_proposer(cache)
        shuffle = CandidateShuffle(scenario_tables(self.scenario).schema, seed=0)
        made, shuffled = [], []
        for part, request in request_batches(self.scenario):
            rng = torch.Generator().manual_seed(1_000_003 * self.source.seed + part.start)
            made.append(self.propose_batch(propose, request, rng))
            if not self.search_efforts():
                mixed, back = shuffle(request)
                again = propose(mixed, SERVED_LIST_COUNT, rng)
                shuffled.append(back.gather(1, again.flatten(1)).view(again.shape))
        arrays = {"lists": torch.cat(made).numpy().astype(np.int16)}
        if shuffled:
            arrays["shuffled"] = torch.cat(shuffled).numpy().astype(np.int16)
        cache.write_arrays(self, arrays)

    def search_efforts(self) -> tuple[int, ...]:
        """Climbs, or the beam's width; empty for a method that proposes lists."""
        large = {} if has_enumerable_lists(self.scenario) else LARGE_SPACE_EFFORTS
        return (SEARCH_EFFORTS | large).get(self.method, ())

    def list_groups(self) -> list[tuple[int, int, int]]:
        """(K or effort, first, end): which of the kept lists are compared with the input list."""
        if self.search_efforts():
            return [(effort, at, at + 1) for at, effort in enumerate(self.search_efforts())]
        return [(count, 0, count) for count in LIST_COUNTS if count <= self.num_lists]

    def propose_batch(
        self, propose: ProposeLists, request: RequestTensors, rng: torch.Generator
    ) -> Tensor:
        """(B, C, M) lists of a batch."""
        if self.search_efforts():
            return torch.cat(
                [propose(request, k, rng)[:, :1] for k in self.search_efforts()], dim=1
            )
        if self.method == "random":  # sorts by the evaluator: nested only if drawn one by one
            return torch.cat([propose(request, 1, rng) for _ in range(self.num_lists)], dim=1)
        return propose(request, self.num_lists, rng)

    def build_proposer(self, cache: JobCache) -> ProposeLists:
        """The trained method as a function."""
        if isinstance(self.source, BaselineJob):
            return self.source.build_ranker(cache).propose
        evaluator = read_checkpoint(cache.job_dir(self.source.evaluator)).load_evaluator()
        return _generator_proposer(read_checkpoint(cache.job_dir(self.source)), evaluator)


def scenario_objective(scenario: Scenario) -> RewardWeights:
    """What a list is worth."""
    return scenario.config.objective.to_reward_weights()


def _subset_suffix(evaluator: EvaluatorJob | None) -> str:
    return (
        "" if evaluator is None or evaluator.user_subset == "all" else f" {evaluator.user_subset}"
    )


def _generator_proposer(checkpoint: Checkpoint, evaluator: Evaluator) -> ProposeLists:
    """The generator as serving would use it, beside the evaluator that taught it."""
    net = checkpoint.load_generator()
    how = replace(
        EditingOptions.from_config(checkpoint.config),
        noise_scale=float(checkpoint.metadata["noise_scale"]),
    )

    def propose(request: RequestTensors, num_lists: int, rng: torch.Generator) -> Tensor:
        scorer = EvaluatorScorer(
            evaluator, request, checkpoint.config.objective.to_reward_weights()
        )
        return generate_lists(net, scorer, replace(how, num_lists=num_lists))

    return propose
