"""Jobs that propose lists: each method is trained and proposes lists for the same requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

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

LIST_COUNTS = (1, 2, 4, 8, 16, 32, 64)  # values of K
SERVED_LIST_COUNT = 8  # K of the tables
SEARCH_EFFORTS = {"hill_climbing": (1, 4, 16), "beam_search": (1, 8, 64), "exact": (1,)}
LARGE_SPACE_EFFORTS = {
    "hill_climbing": (1, 2),
    "beam_search": (1, 8),
}  # one climb round or beam step scores M * N lists
ProposeLists = Callable[[RequestTensors, int, torch.Generator], Tensor]


class ListGroup(NamedTuple):
    """Proposals `first` to `end` - 1 that compete with the input list; `effort` is K or effort."""

    effort: int
    first: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineJob:
    """Builds one baseline and trains it if it is a learned one.

    `evaluator` is set only for methods that use an evaluator.
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
        config = self.scenario.config_with_seed(self.seed)
        size = (config.evaluator.width, config.evaluator.hidden)
        settings = settings_text(config.train_evaluator)
        return f"{self.method} {self.scenario.fingerprint} {size} {settings}"

    def dependencies(self) -> tuple[BenchmarkJob, ...]:
        """See `BenchmarkJob`."""
        return () if self.evaluator is None else (self.evaluator,)

    def run(self, cache: JobCache) -> None:
        """See `BenchmarkJob`."""
        self.build_ranker(cache)

    def refinement_rounds(self) -> int:
        """0: lists of baselines are not refined."""
        return 0

    def build_ranker(self, cache: JobCache) -> Ranker:
        """The trained method; weights of a finished training are read."""
        evaluator = None
        if self.evaluator is not None:
            net = read_checkpoint(cache.job_dir(self.evaluator)).load_evaluator()
            evaluator = FrozenEvaluator(net, scenario_objective(self.scenario))
        inputs = BaselineInputs(
            tables=scenario_tables(self.scenario),
            config=self.scenario.config_with_seed(self.seed),
            evaluator=evaluator,
            evaluator_id="" if self.evaluator is None else job_digest(self.evaluator),
            folder=cache.job_dir(self),
        )
        return BASELINE_METHODS[self.method].build(inputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalJob:
    """Proposes lists for the test requests by a baseline or a Relist generator.

    `num_lists` applies to methods without search efforts.
    """

    source: BaselineJob | GeneratorJob
    num_lists: int = LIST_COUNTS[-1]

    @property
    def scenario(self) -> Scenario:
        """Scenario of the source."""
        return self.source.scenario

    @property
    def method(self) -> str:
        """Name in result rows: the baseline, or the variant of the generator."""
        return self.source.method

    @property
    def title(self) -> str:
        """See `BenchmarkJob`."""
        return f"{self.source.title} lists"

    def cache_key(self) -> str:
        """See `BenchmarkJob`."""
        efforts = f"{SEARCH_EFFORTS} {LARGE_SPACE_EFFORTS}"
        counts = f"{self.num_lists} {LIST_COUNTS} {SERVED_LIST_COUNT}"
        return f"{self.scenario.max_requests} {counts} {efforts}"

    def dependencies(self) -> tuple[BenchmarkJob, ...]:
        """See `BenchmarkJob`."""
        return (self.source,)

    def run(self, cache: JobCache) -> None:
        """Write `lists` (R, C, M) int16, and `shuffled` for requests in shuffled input order.

        Both hold candidate indices of the unshuffled request. C is the largest K; a search has
        one list for each effort instead, and no shuffled lists.
        """
        propose = self.build_proposer(cache)
        shuffle = CandidateShuffle(scenario_tables(self.scenario).schema, seed=0)
        proposed, shuffled = [], []
        for part, request in request_batches(self.scenario):
            rng = torch.Generator().manual_seed(1_000_003 * self.source.seed + part.start)
            proposed.append(self.propose_batch(propose, request, rng))
            if not self.search_efforts():
                shuffled_request, order = shuffle(request)
                lists = propose(shuffled_request, SERVED_LIST_COUNT, rng)
                shuffled.append(order.gather(1, lists.flatten(1)).view(lists.shape))
        arrays = {"lists": torch.cat(proposed).numpy().astype(np.int16)}
        if shuffled:
            arrays["shuffled"] = torch.cat(shuffled).numpy().astype(np.int16)
        cache.write_arrays(self, arrays)

    def search_efforts(self) -> tuple[int, ...]:
        """Numbers of climbs or beam widths; empty for a method that is not a search."""
        large = {} if has_enumerable_lists(self.scenario) else LARGE_SPACE_EFFORTS
        return (SEARCH_EFFORTS | large).get(self.method, ())

    def list_groups(self) -> list[ListGroup]:
        """Groups of proposals that compete with the input list, one for each K or effort."""
        if self.search_efforts():
            return [ListGroup(effort, i, i + 1) for i, effort in enumerate(self.search_efforts())]
        return [ListGroup(count, 0, count) for count in LIST_COUNTS if count <= self.num_lists]

    def propose_batch(
        self, propose: ProposeLists, request: RequestTensors, rng: torch.Generator
    ) -> Tensor:
        """(B, C, M) lists of a batch."""
        if self.search_efforts():
            return torch.cat(
                [propose(request, k, rng)[:, :1] for k in self.search_efforts()], dim=1
            )
        if self.method == "random":  # sorted by reward, so K lists are nested only if drawn singly
            return torch.cat([propose(request, 1, rng) for _ in range(self.num_lists)], dim=1)
        return propose(request, self.num_lists, rng)

    def build_proposer(self, cache: JobCache) -> ProposeLists:
        """The trained method as a function of request, K and random generator."""
        if isinstance(self.source, BaselineJob):
            return self.source.build_ranker(cache).propose
        evaluator = read_checkpoint(cache.job_dir(self.source.evaluator)).load_evaluator()
        return _generator_proposer(read_checkpoint(cache.job_dir(self.source)), evaluator)


def scenario_objective(scenario: Scenario) -> RewardWeights:
    """Reward weights of the scenario."""
    return scenario.config.objective.to_reward_weights()


def _subset_suffix(evaluator: EvaluatorJob | None) -> str:
    return (
        "" if evaluator is None or evaluator.user_subset == "all" else f" {evaluator.user_subset}"
    )


def _generator_proposer(checkpoint: Checkpoint, evaluator: Evaluator) -> ProposeLists:
    """The generator with the evaluator that trained it, as the service uses them."""
    net = checkpoint.load_generator()
    options = replace(
        EditingOptions.from_config(checkpoint.config),
        noise_scale=float(checkpoint.metadata["noise_scale"]),
    )

    objective = checkpoint.config.objective.to_reward_weights()

    def propose(request: RequestTensors, num_lists: int, rng: torch.Generator) -> Tensor:
        scorer = EvaluatorScorer(evaluator, request, objective)
        return generate_lists(net, scorer, replace(options, num_lists=num_lists))

    return propose
