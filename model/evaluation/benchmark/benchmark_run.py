"""Runs the jobs of benchmark plans and collects their results.

Evaluators run first. A weak evaluator stops the benchmark.
"""

from __future__ import annotations

from collections.abc import Sequence

from model.evaluation.benchmark.benchmark_plan import BenchmarkPlan
from model.evaluation.benchmark.benchmark_scenario import RELIST_METHOD, Scenario
from model.evaluation.benchmark.job_cache import BenchmarkJob, JobCache
from model.evaluation.benchmark.job_scheduler import run_jobs
from model.evaluation.benchmark.metric_results import MetricResult, summarize_method

VARIANT_EXPERIMENTS = ("ablations", "tau", "cru_loss")


class EvaluatorTooWeak(Exception):
    """The AUC of an evaluator on later lists is not above the AUC of item popularity."""

    def __init__(self, scenario: Scenario, seed: int, auc: float, popularity: float) -> None:
        super().__init__(
            f"{scenario.title}, seed {seed}: on later lists the evaluator's AUC is {auc:.4f}, that "
            f"of popularity {popularity:.4f}. No generator is trained with such an evaluator. Use "
            "more lists, better features or other settings; see its training curves."
        )


def run_benchmark(plans: Sequence[BenchmarkPlan], cache: JobCache, processes: int) -> None:
    """Run all jobs of all plans; latency jobs run last, one at a time.

    Raises:
        EvaluatorTooWeak: an evaluator does not beat popularity on the validation part.
        JobFailed: a job raised an exception or its process died.
    """
    run_jobs([job for plan in plans for job in plan.evaluator_jobs().values()], cache, processes)
    for plan in plans:
        _require_better_than_popularity(plan, cache)
    run_jobs([job for plan in plans for job in _all_jobs(plan)], cache, processes)
    run_jobs([job for plan in plans for job in plan.latency_jobs().values()], cache, 1)


def collect_results(plans: Sequence[BenchmarkPlan], cache: JobCache) -> list[MetricResult]:
    """All results of finished jobs."""
    return [row for plan in plans for row in _plan_results(plan, cache)]


def _all_jobs(plan: BenchmarkPlan) -> list[BenchmarkJob]:
    jobs: list[BenchmarkJob] = []
    for method in (
        *plan.comparison_jobs().values(),
        plan.risk_curve_jobs(),
        *plan.holdout_jobs().values(),
    ):
        jobs += method.values()
    for part in VARIANT_EXPERIMENTS:
        for by_seed in plan.variant_metrics_jobs(part).values():
            jobs += by_seed.values()
    return [
        *jobs,
        *(job for job in (plan.neighborhood_job(), plan.overestimation_job()) if job is not None),
    ]


def _require_better_than_popularity(plan: BenchmarkPlan, cache: JobCache) -> None:
    for seed, job in plan.evaluator_jobs().items():
        metrics = cache.read_values(job)["validation"]
        auc, popularity = metrics["evaluator"]["auc"], metrics["popularity"]["auc"]
        if not auc > popularity:
            raise EvaluatorTooWeak(plan.scenario, seed, auc, popularity)


def _plan_results(plan: BenchmarkPlan, cache: JobCache) -> list[MetricResult]:
    name, out = plan.scenario.name, _logged_list_results(plan, cache)
    parts = {"comparison": plan.comparison_jobs(), "holdout": plan.holdout_jobs()}
    parts["risk_curve"] = {RELIST_METHOD: plan.risk_curve_jobs()}
    parts |= {part: plan.variant_metrics_jobs(part) for part in VARIANT_EXPERIMENTS}
    for part, methods in parts.items():
        for method, jobs in methods.items():
            columns = {seed: cache.read_arrays(job) for seed, job in jobs.items()}
            out += summarize_method(name, part, method, columns)
    for method, times in plan.latency_jobs().items():
        for kind, ms in cache.read_values(times).items():
            out.append(
                MetricResult(
                    scenario=name, experiment="times", method=method, seed=plan.scenario.seeds[0],
                    list_kind=kind, metric="ms", value=ms,
                )
            )  # fmt: skip
    return out


def _logged_list_results(plan: BenchmarkPlan, cache: JobCache) -> list[MetricResult]:
    """Metrics on logged lists of evaluators, simple orders and the published evaluator."""
    orders: list[tuple[str, int, dict[str, float]]] = []
    for seed, job in plan.evaluator_jobs().items():
        orders += [
            (order, seed, values) for order, values in cache.read_values(job)["test"].items()
        ]
    for seed, job in plan.published_plan().evaluator_jobs().items():
        orders.append(("published evaluator", seed, cache.read_values(job)["test"]["evaluator"]))
    return [
        MetricResult(
            scenario=plan.scenario.name,
            experiment="logged",
            method=order,
            seed=seed,
            list_kind="shown",
            metric=metric,
            value=value,
        )
        for order, seed, values in orders
        for metric, value in values.items()
    ]
