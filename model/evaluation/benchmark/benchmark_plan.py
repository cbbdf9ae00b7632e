"""Jobs of a scenario, grouped by the part of the page that shows their results.

Ablations and temperatures vary the published networks. CRU losses vary the Relist networks, and
the published generator with the Relist evaluator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from model.baselines.registry import BASELINE_METHODS
from model.evaluation.benchmark.benchmark_scenario import NLGR_METHOD, RELIST_METHOD, Scenario
from model.evaluation.benchmark.latency_job import LatencyJob
from model.evaluation.benchmark.list_metrics_job import ListMetricsJob
from model.evaluation.benchmark.neighborhood_job import NeighborhoodJob
from model.evaluation.benchmark.overestimation_job import OverestimationJob
from model.evaluation.benchmark.proposal_jobs import SERVED_LIST_COUNT, BaselineJob, ProposalJob
from model.evaluation.benchmark.training_jobs import EvaluatorJob, GeneratorJob

ConfigOverrides = Mapping[str, Any]

TEMPERATURES = (1.0, 0.5, 0.3, 0.1)
COMPARED_CRU_LOSSES = ("straight_through", "expected", "sampled")
ABLATIONS: dict[str, ConfigOverrides] = {
    "as published": {},
    "without relative reward": {"relative_reward": False},
    "without L2 (alpha 0)": {"alpha": 0.0},
    "left to right": {"left_to_right": True, "alpha": 0.0},
    "alpha .01": {"alpha": 0.01},
    "alpha .5": {"alpha": 0.5},
    "alpha 1": {"alpha": 1.0},
    ".1 samples a slot": {"samples_per_slot": 0.1},
    ".5 samples a slot": {"samples_per_slot": 0.5},
    "2 samples a slot": {"samples_per_slot": 2.0},
    "5 samples a slot": {"samples_per_slot": 5.0},
    "k1 = 2": {"shape_above": 2.0},
    "k2 = 2": {"shape_below": 2.0},
    "replacements uniform": {"replacement": "uniform"},
    "replacements by popularity": {"replacement": "popularity"},
}
PUBLISHED_NET_EXPERIMENTS = frozenset({"ablations", "tau"})
PUBLISHED_GENERATOR_VARIANT = "expected, published generator"
RISK_AVERSIONS = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
HOLDOUT_REQUESTS = 300  # scored by two evaluators, each of half of the users


@dataclass(frozen=True, slots=True)
class BenchmarkPlan:
    """All jobs of one scenario; most methods return seed -> job."""

    scenario: Scenario

    def evaluator_jobs(self) -> dict[int, EvaluatorJob]:
        """Evaluators of the comparison."""
        return {
            seed: EvaluatorJob(scenario=self.scenario, seed=seed) for seed in self.scenario.seeds
        }

    def generator_jobs(self) -> dict[int, GeneratorJob]:
        """Relist generators with the default settings."""
        return {seed: GeneratorJob(evaluator=e) for seed, e in self.evaluator_jobs().items()}

    def published_plan(self) -> BenchmarkPlan:
        """The plan of the published networks on the same log."""
        return BenchmarkPlan(self.scenario.with_published_config())

    def comparison_jobs(self) -> dict[str, dict[int, ListMetricsJob]]:
        """Method -> metrics jobs: Relist, published method with its own evaluator, baselines."""
        made = {
            RELIST_METHOD: self.generator_jobs(),
            NLGR_METHOD: self.published_plan().generator_jobs(),
        }
        nets = {
            name: {
                seed: ListMetricsJob(
                    proposals=ProposalJob(source=replace(job, variant=name)),
                    evaluator=job.evaluator,
                )
                for seed, job in jobs.items()
            }
            for name, jobs in made.items()
        }
        return nets | {name: self._baseline_jobs(name) for name in self.scenario.methods}

    def risk_curve_jobs(self) -> dict[int, ListMetricsJob]:
        """Relist with other values of the risk aversion."""
        return {
            seed: replace(job, risk_aversions=RISK_AVERSIONS)
            for seed, job in self.comparison_jobs()[RELIST_METHOD].items()
        }

    def half_log_evaluators(self) -> tuple[EvaluatorJob, EvaluatorJob]:
        """First seed: evaluators trained on the first and on the second half of the users."""
        seed = self.scenario.seeds[0]
        return (
            EvaluatorJob(scenario=self.scenario, seed=seed, user_subset="first_half"),
            EvaluatorJob(scenario=self.scenario, seed=seed + 1000, user_subset="second_half"),
        )

    def overestimation_job(self) -> OverestimationJob | None:
        """Compares evaluators of even and odd lists; None if the scenario does not ask for it."""
        if "overestimation" not in self.scenario.experiments:
            return None
        seed = self.scenario.seeds[0]
        first = EvaluatorJob(scenario=self.scenario, seed=seed, list_subset="even")
        second = EvaluatorJob(scenario=self.scenario, seed=seed + 1000, list_subset="odd")
        lists = ProposalJob(source=GeneratorJob(evaluator=first))
        return OverestimationJob(proposals=lists, evaluator=first, holdout_evaluator=second)

    def holdout_jobs(self) -> dict[str, dict[int, ListMetricsJob]]:
        """Method -> metrics jobs with the evaluators of the two halves of the users."""
        if "holdout" not in self.scenario.experiments:
            return {}
        few = replace(self.scenario, max_requests=min(HOLDOUT_REQUESTS, self.scenario.max_requests))
        seed = few.seeds[0]
        first, second = BenchmarkPlan(few).half_log_evaluators()
        published_evaluator = EvaluatorJob(
            scenario=few.with_published_config(), seed=seed, user_subset="first_half"
        )
        nets = {
            RELIST_METHOD: GeneratorJob(evaluator=first),
            NLGR_METHOD: GeneratorJob(evaluator=published_evaluator),
        }
        lists = {
            name: ProposalJob(source=replace(made, variant=name)) for name, made in nets.items()
        }
        lists |= {name: _baseline_proposals(few, seed, name, first) for name in few.methods}
        return {
            name: {
                seed: ListMetricsJob(
                    proposals=made,
                    evaluator=published_evaluator if name == NLGR_METHOD else first,
                    holdout_evaluator=second,
                )
            }
            for name, made in lists.items()
        }

    def variant_jobs(self, experiment: str) -> dict[str, dict[int, GeneratorJob]]:
        """Variant -> generators of `ablations`, `tau` or `cru_loss`; empty if not asked for."""
        if experiment not in self.scenario.experiments:
            return {}
        parts: dict[str, dict[str, ConfigOverrides]] = {
            "ablations": dict(
                islice(ABLATIONS.items(), 4 if self.scenario.few_ablations else None)
            ),
            "tau": {f"tau {tau:g}": {"tau_start": tau, "tau_end": tau} for tau in TEMPERATURES},
            "cru_loss": {kind: {"cru_loss": kind} for kind in COMPARED_CRU_LOSSES},
        }
        plan = self.published_plan() if experiment in PUBLISHED_NET_EXPERIMENTS else self
        epochs = self.scenario.ablation_epochs * (
            2 if experiment == "tau" else 1
        )  # the curves need points
        short: ConfigOverrides = {"epochs": epochs, "min_steps": 0}
        seeds = self.scenario.seeds[:1]
        made = {
            name: plan.generator_variants(seeds, name, {**short, **overrides})
            for name, overrides in parts[experiment].items()
        }
        if experiment == "cru_loss":
            made[PUBLISHED_GENERATOR_VARIANT] = self.published_generator_variants(seeds, short)
        return made

    def generator_variants(
        self, seeds: tuple[int, ...], variant: str, overrides: ConfigOverrides
    ) -> dict[int, GeneratorJob]:
        """Generators with other training settings."""
        return {
            seed: GeneratorJob(
                evaluator=self.evaluator_jobs()[seed], variant=variant, overrides=overrides
            )
            for seed in seeds
        }

    def published_generator_variants(
        self, seeds: tuple[int, ...], overrides: ConfigOverrides
    ) -> dict[int, GeneratorJob]:
        """The published generator with the Relist evaluator, trained with the expected loss."""
        ours = self.scenario.config
        net = replace(ours.generator, kind="nlgr")
        problem = replace(self.scenario, config=replace(ours, generator=net))
        expected: ConfigOverrides = {**overrides, "cru_loss": "expected"}
        return BenchmarkPlan(problem).generator_variants(
            seeds, PUBLISHED_GENERATOR_VARIANT, expected
        )

    def variant_metrics_jobs(self, experiment: str) -> dict[str, dict[int, ListMetricsJob]]:
        """Variant name -> metrics jobs of these generators."""
        return {
            name: {
                seed: ListMetricsJob(
                    proposals=ProposalJob(source=made, num_lists=SERVED_LIST_COUNT),
                    evaluator=made.evaluator,
                )
                for seed, made in by_seed.items()
            }
            for name, by_seed in self.variant_jobs(experiment).items()
        }

    def neighborhood_job(self) -> NeighborhoodJob | None:
        """Neighborhood of the first generator's lists; None if not asked for."""
        if "neighbors" not in self.scenario.experiments:
            return None
        made = next(iter(self.generator_jobs().values()))
        return NeighborhoodJob(proposals=ProposalJob(source=made), evaluator=made.evaluator)

    def latency_jobs(self) -> dict[str, LatencyJob]:
        """Method -> latency job, first seed."""
        first = self.scenario.seeds[0]
        return {
            name: LatencyJob(proposals=jobs[first].proposals, evaluator=jobs[first].evaluator)
            for name, jobs in self.comparison_jobs().items()
        }

    def _baseline_jobs(self, name: str) -> dict[int, ListMetricsJob]:
        return {
            seed: ListMetricsJob(
                proposals=_baseline_proposals(self.scenario, seed, name, judge), evaluator=judge
            )
            for seed, judge in self.evaluator_jobs().items()
        }


def _baseline_proposals(
    scenario: Scenario, seed: int, name: str, evaluator: EvaluatorJob
) -> ProposalJob:
    used_evaluator = evaluator if BASELINE_METHODS[name].needs_evaluator else None
    return ProposalJob(
        source=BaselineJob(scenario=scenario, seed=seed, method=name, evaluator=used_evaluator)
    )
