"""Which jobs a problem needs: comparison, second judge, ablations, gradients, neighbors, times.

What readers of the paper ask (ablations, tau) is asked of the published nets; the ways to
teach the CRU are compared on ours, and on the published generator beside our evaluator.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from model.baselines.registry import METHODS
from model.offline_report.comparison.listing import SERVED, FitJob, ListsJob
from model.offline_report.comparison.measuring import MeasureJob
from model.offline_report.comparison.neighborhoods import NeighborsJob
from model.offline_report.comparison.optimism import OptimismJob
from model.offline_report.comparison.problems import OURS, PUBLISHED, Problem
from model.offline_report.comparison.timing import TimesJob
from model.offline_report.comparison.training import EvaluatorJob, GeneratorJob

Changes = tuple[tuple[str, Any], ...]

TAUS = (1.0, 0.5, 0.3, 0.1)
CRU_LOSSES = ("straight_through", "expected", "sampled")
ABLATIONS: dict[str, Changes] = {
    "as published": (),
    "without relative reward": (("relative_reward", False),),
    "without L2 (alpha 0)": (("alpha", 0.0),),
    "left to right": (("left_to_right", True), ("alpha", 0.0)),
    "alpha .01": (("alpha", 0.01),),
    "alpha .5": (("alpha", 0.5),),
    "alpha 1": (("alpha", 1.0),),
    ".1 samples a slot": (("samples_per_slot", 0.1),),
    ".5 samples a slot": (("samples_per_slot", 0.5),),
    "2 samples a slot": (("samples_per_slot", 2.0),),
    "5 samples a slot": (("samples_per_slot", 5.0),),
    "k1 = 2": (("shape_above", 2.0),),
    "k2 = 2": (("shape_below", 2.0),),
    "replacements uniform": (("replacement", "uniform"),),
    "replacements by popularity": (("replacement", "popularity"),),
}
PUBLISHED_PARTS = frozenset({"ablations", "tau"})
OTHER_NET = "expected, published generator"
LAMBDAS = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
JUDGED_REQUESTS = 300  # two more evaluators look at all lists of these


@dataclass(frozen=True, slots=True)
class Plan:
    """All jobs of one problem, by part of the report; seed -> job inside."""

    problem: Problem

    def evaluators(self) -> dict[int, EvaluatorJob]:
        """Of the comparison."""
        return {seed: EvaluatorJob(problem=self.problem, seed=seed) for seed in self.problem.seeds}

    def generators(self) -> dict[int, GeneratorJob]:
        """Ours, as shipped."""
        return {seed: GeneratorJob(evaluator=e) for seed, e in self.evaluators().items()}

    def published(self) -> Plan:
        """The plan of the nets of the paper, on the same log."""
        return Plan(self.problem.as_published())

    def comparison(self) -> dict[str, dict[int, MeasureJob]]:
        """Method -> measures; ours first, then the nets of the paper by their own judge."""
        made = {OURS: self.generators(), PUBLISHED: self.published().generators()}
        nets = {
            name: {
                seed: MeasureJob(
                    lists=ListsJob(source=replace(job, variant=name)), judge=job.evaluator
                )
                for seed, job in jobs.items()
            }
            for name, jobs in made.items()
        }
        return nets | {name: self._method(name) for name in self.problem.methods}

    def caution(self) -> dict[int, MeasureJob]:
        """Ours as it would be served with other values of lambda."""
        return {
            seed: replace(job, lambdas=LAMBDAS) for seed, job in self.comparison()[OURS].items()
        }

    def halves(self) -> tuple[EvaluatorJob, EvaluatorJob]:
        """Evaluators of one half of the users and of the other; first seed."""
        seed = self.problem.seeds[0]
        return (
            EvaluatorJob(problem=self.problem, seed=seed, users="first_half"),
            EvaluatorJob(problem=self.problem, seed=seed + 1000, users="second_half"),
        )

    def optimism(self) -> OptimismJob | None:
        """How far an evaluator of the same users' other lists falls short of one of ours."""
        if "optimism" not in self.problem.experiments:
            return None
        seed = self.problem.seeds[0]
        first = EvaluatorJob(problem=self.problem, seed=seed, lists="even")
        second = EvaluatorJob(problem=self.problem, seed=seed + 1000, lists="odd")
        lists = ListsJob(source=GeneratorJob(evaluator=first))
        return OptimismJob(lists=lists, judge=first, second=second)

    def judges(self) -> dict[str, dict[int, MeasureJob]]:
        """Method -> measures under an evaluator of one half of the users and one of the other."""
        if "judges" not in self.problem.experiments:
            return {}
        few = replace(self.problem, requests=min(JUDGED_REQUESTS, self.problem.requests))
        seed = few.seeds[0]
        first, second = Plan(few).halves()
        papers = EvaluatorJob(problem=few.as_published(), seed=seed, users="first_half")
        nets = {OURS: GeneratorJob(evaluator=first), PUBLISHED: GeneratorJob(evaluator=papers)}
        lists = {name: ListsJob(source=replace(made, variant=name)) for name, made in nets.items()}
        lists |= {name: _lists(few, seed, name, first) for name in few.methods}
        return {
            name: {
                seed: MeasureJob(
                    lists=made, judge=papers if name == PUBLISHED else first, second=second
                )
            }
            for name, made in lists.items()
        }

    def variants(self, part: str) -> dict[str, dict[int, GeneratorJob]]:
        """Name -> generators of a part: `ablations`, `tau` or `cru_loss`."""
        if part not in self.problem.experiments:
            return {}
        parts: dict[str, dict[str, Changes]] = {
            "ablations": dict(islice(ABLATIONS.items(), 4 if self.problem.few_ablations else None)),
            "tau": {f"tau {tau:g}": (("tau_start", tau), ("tau_end", tau)) for tau in TAUS},
            "cru_loss": {kind: (("cru_loss", kind),) for kind in CRU_LOSSES},
        }
        plan = self.published() if part in PUBLISHED_PARTS else self
        epochs = self.problem.ablation_epochs * (2 if part == "tau" else 1)  # a course needs points
        short: Changes = (("epochs", epochs), ("least_steps", 0))
        seeds = self.problem.seeds[:1]
        made = {name: plan.changed(seeds, name, short + some) for name, some in parts[part].items()}
        if part == "cru_loss":
            made[OTHER_NET] = self.with_published_generator(seeds, short)
        return made

    def changed(
        self, seeds: tuple[int, ...], variant: str, changes: Changes
    ) -> dict[int, GeneratorJob]:
        """Generators with other settings of training."""
        return {
            seed: GeneratorJob(evaluator=self.evaluators()[seed], variant=variant, changes=changes)
            for seed in seeds
        }

    def with_published_generator(
        self, seeds: tuple[int, ...], changes: Changes
    ) -> dict[int, GeneratorJob]:
        """The paper's generator beside our evaluator, taught by the expected loss."""
        ours = self.problem.config
        net = replace(ours.generator, kind="nlgr")
        problem = replace(self.problem, config=replace(ours, generator=net))
        expected: Changes = (*changes, ("cru_loss", "expected"))
        return Plan(problem).changed(seeds, OTHER_NET, expected)

    def measured_variants(self, part: str) -> dict[str, dict[int, MeasureJob]]:
        """The same with measures of their lists."""
        return {
            name: {
                seed: MeasureJob(lists=ListsJob(source=made, count=SERVED), judge=made.evaluator)
                for seed, made in by_seed.items()
            }
            for name, by_seed in self.variants(part).items()
        }

    def neighbors(self) -> NeighborsJob | None:
        """Of the first seed's generator."""
        if "neighbors" not in self.problem.experiments:
            return None
        made = next(iter(self.generators().values()))
        return NeighborsJob(lists=ListsJob(source=made), judge=made.evaluator)

    def times(self) -> dict[str, TimesJob]:
        """Method -> time of a request, first seed."""
        first = self.problem.seeds[0]
        return {
            name: TimesJob(lists=jobs[first].lists, judge=jobs[first].judge)
            for name, jobs in self.comparison().items()
        }

    def _method(self, name: str) -> dict[int, MeasureJob]:
        return {
            seed: MeasureJob(lists=_lists(self.problem, seed, name, judge), judge=judge)
            for seed, judge in self.evaluators().items()
        }


def _lists(problem: Problem, seed: int, name: str, judge: EvaluatorJob) -> ListsJob:
    asked = judge if METHODS[name].asks else None
    return ListsJob(source=FitJob(problem=problem, seed=seed, method=name, evaluator=asked))
