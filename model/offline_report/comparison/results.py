"""Runs a plan: evaluators first, and only if they are worth it all that builds on them."""

from __future__ import annotations

from collections.abc import Sequence

from model.offline_report.comparison.jobs import Job, Store
from model.offline_report.comparison.plan import Plan
from model.offline_report.comparison.problems import OURS, Problem
from model.offline_report.comparison.schedule import run_jobs
from model.offline_report.comparison.summary import Row, rows_of

VARIANT_PARTS = ("ablations", "tau", "cru_loss")


class EvaluatorTooWeak(Exception):
    """An evaluator that knows less than a count of clicks: nothing built on it would mean much."""

    def __init__(self, problem: Problem, seed: int, auc: float, popularity: float) -> None:
        super().__init__(
            f"{problem.title}, seed {seed}: on later lists the evaluator's AUC is {auc:.4f}, that "
            f"of popularity {popularity:.4f}. No generator is trained on such an evaluator: it "
            "needs more lists, better features, or other settings (relist-train-evaluator shows "
            "its course)."
        )


def run_plans(plans: Sequence[Plan], store: Store, processes: int) -> None:
    """Do all jobs of all plans; times last and alone.

    Raises:
        EvaluatorTooWeak: an evaluator does not beat popularity on the validation part.
        JobFailed: a job could not be done.
    """
    run_jobs([job for plan in plans for job in plan.evaluators().values()], store, processes)
    for plan in plans:
        _require_worth(plan, store)
    run_jobs([job for plan in plans for job in _all(plan)], store, processes)
    run_jobs([job for plan in plans for job in plan.times().values()], store, 1)


def all_rows(plans: Sequence[Plan], store: Store) -> list[Row]:
    """Every number of the report, from finished jobs."""
    return [row for plan in plans for row in _plan_rows(plan, store)]


def _all(plan: Plan) -> list[Job]:
    jobs: list[Job] = []
    for method in (*plan.comparison().values(), plan.caution(), *plan.judges().values()):
        jobs += method.values()
    for part in VARIANT_PARTS:
        for made in plan.measured_variants(part).values():
            jobs += made.values()
    return [*jobs, *(job for job in (plan.neighbors(), plan.optimism()) if job is not None)]


def _require_worth(plan: Plan, store: Store) -> None:
    for seed, job in plan.evaluators().items():
        later = store.numbers(job)["validation"]
        auc, popularity = later["evaluator"]["auc"], later["popularity"]["auc"]
        if not auc > popularity:
            raise EvaluatorTooWeak(plan.problem, seed, auc, popularity)


def _plan_rows(plan: Plan, store: Store) -> list[Row]:
    name, out = plan.problem.name, _logged(plan, store)
    parts = {"comparison": plan.comparison(), "judges": plan.judges()}
    parts["caution"] = {OURS: plan.caution()}
    parts |= {part: plan.measured_variants(part) for part in VARIANT_PARTS}
    for part, methods in parts.items():
        for method, jobs in methods.items():
            columns = {seed: store.arrays(job) for seed, job in jobs.items()}
            out += rows_of(name, part, method, columns)
    for method, times in plan.times().items():
        for kind, ms in store.numbers(times).items():
            out.append(
                Row(
                    problem=name, part="times", method=method, seed=plan.problem.seeds[0],
                    lists=kind, measure="ms", value=ms,
                )
            )  # fmt: skip
    return out


def _logged(plan: Plan, store: Store) -> list[Row]:
    """How the evaluators predict later lists, beside simple orders and the paper's evaluator."""
    orders: list[tuple[str, int, dict[str, float]]] = []
    for seed, job in plan.evaluators().items():
        orders += [(order, seed, found) for order, found in store.numbers(job)["test"].items()]
    for seed, job in plan.published().evaluators().items():
        orders.append(("published evaluator", seed, store.numbers(job)["test"]["evaluator"]))
    return [
        Row(
            problem=plan.problem.name, part="logged", method=order, seed=seed, lists="shown",
            measure=measure, value=value,
        )
        for order, seed, numbers in orders
        for measure, value in numbers.items()
    ]  # fmt: skip
