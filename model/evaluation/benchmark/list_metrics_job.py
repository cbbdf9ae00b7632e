"""Job that measures lists: rewards, true values, label metrics, ranks in the list space.

Writes one number for each request; `metric_results.py` aggregates them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from model.checkpoint import read_checkpoint, resolve_min_relative_gain
from model.evaluation.benchmark.benchmark_scenario import (
    Scenario,
    benchmark_rows,
    scenario_tables,
)
from model.evaluation.benchmark.job_cache import BenchmarkJob, JobArrays, JobCache
from model.evaluation.benchmark.list_selection import (
    SELECTING,
    Indices,
    SelectedLists,
    add_refined_lists,
    keep_input_below,
    score_proposals,
    select_by_risk_aversion,
    select_served,
)
from model.evaluation.benchmark.list_space_jobs import (
    BestTrueValueJob,
    ListSpaceJob,
    true_values_of_proposals,
)
from model.evaluation.benchmark.proposal_jobs import SERVED_LIST_COUNT, ListGroup, ProposalJob
from model.evaluation.benchmark.training_jobs import EvaluatorJob
from model.evaluation.list_quality import request_label_metrics
from model.evaluation.list_space import top_share_hits
from model.nets.evaluators.abstract_evaluator import Evaluator
from model.training.trainer import settings_text

LABEL_CUTOFFS = (6, 10)  # k of the label metrics
SERVED_GROUP = ListGroup(effort=SERVED_LIST_COUNT, first=0, end=SERVED_LIST_COUNT)
PickedLists = dict[str, NDArray[np.int64]]  # list kind -> (R, M) candidate indices


@dataclass(frozen=True, slots=True, kw_only=True)
class ListMetricsJob:
    """All metrics of the lists of one method.

    Attributes:
        proposals: lists of the method.
        evaluator: selects the served list.
        holdout_evaluator: scores the same lists without selecting.
        risk_aversions: if not empty, select with each of these instead of the configured value.
    """

    proposals: ProposalJob
    evaluator: EvaluatorJob
    holdout_evaluator: EvaluatorJob | None = None
    risk_aversions: tuple[float, ...] = ()

    @property
    def scenario(self) -> Scenario:
        """Scenario of the proposals."""
        return self.proposals.scenario

    @property
    def title(self) -> str:
        """See `BenchmarkJob`."""
        return f"{self.proposals.title} by {self.evaluator.user_subset} measured"

    def cache_key(self) -> str:
        """See `BenchmarkJob`."""
        steps = self.proposals.source.refinement_rounds()
        return f"{settings_text(self.scenario.config.serving)} {steps}" + (
            f" {self.risk_aversions}" if self.risk_aversions else ""
        )

    def evaluators_by_column(self) -> dict[str, EvaluatorJob]:
        """Column prefix -> evaluator; the first one selects."""
        return {SELECTING: self.evaluator} | (
            {} if self.holdout_evaluator is None else {"holdout": self.holdout_evaluator}
        )

    def _needs_best_list(self) -> bool:
        return self.scenario.climb_restarts > 0 and self.scenario.finds_best_by_evaluator

    def dependencies(self) -> tuple[BenchmarkJob, ...]:
        """See `BenchmarkJob`."""
        evaluators = self.evaluators_by_column().values()
        spaces = [ListSpaceJob(evaluator=job) for job in evaluators if self._needs_best_list()]
        truth = [BestTrueValueJob(scenario=self.scenario)] if self.scenario.is_simulated else []
        return (self.proposals, *evaluators, *spaces, *truth)

    def run(self, cache: JobCache) -> None:
        """Write one column of R numbers for each metric and list kind.

        List kinds: `input`; `best`; `single`, list 0; `served{K}`, selected among K lists and the
        input list; `shuffled` and `shuffled_served`, the same for a shuffled input order. With
        `risk_aversions`, `risk_aversion{x}` replaces all kinds except `input` and `best`.
        """
        proposals = cache.read_arrays(self.proposals)
        evaluators = {
            name: read_checkpoint(cache.job_dir(job))
            for name, job in self.evaluators_by_column().items()
        }
        nets = {name: evaluator.load_evaluator() for name, evaluator in evaluators.items()}
        least_gain = resolve_min_relative_gain(self.scenario.config.serving, evaluators[SELECTING])
        users = scenario_tables(self.scenario).user_index[benchmark_rows(self.scenario)]
        columns: JobArrays = {"user": users}
        groups = self.proposals.list_groups()
        selected = self._select_lists(nets, proposals["lists"], groups, least_gain)
        columns |= self._list_columns(cache, selected)
        if "shuffled" in proposals and not self.risk_aversions:
            shuffled = self._select_lists(nets, proposals["shuffled"], [SERVED_GROUP], least_gain)
            kinds = {
                "shuffled": shuffled.chosen["single"],
                "shuffled_served": shuffled.chosen[f"served{SERVED_LIST_COUNT}"],
            }
            columns |= self._list_columns(
                cache, SelectedLists(scored=shuffled.scored, chosen=kinds)
            )
        cache.write_arrays(self, columns)

    def _select_lists(
        self,
        nets: dict[str, Evaluator],
        proposals: NDArray[np.int16],
        groups: list[ListGroup],
        min_relative_gain: float,
    ) -> SelectedLists:
        """Score proposals (R, C, M), select one list of each kind, and refine the served ones.

        Selections by several risk aversions have no least gain.
        """
        scored = score_proposals(self.scenario, nets, proposals)
        configured = self.scenario.config.serving.risk_aversion
        if self.risk_aversions:
            weights = {f"risk_aversion{x:g}": x for x in self.risk_aversions}
            chosen = select_by_risk_aversion(
                scored.rewards[SELECTING], SERVED_GROUP, self.risk_aversions
            )
        else:
            chosen = select_served(scored.rewards[SELECTING], groups, configured)
            weights = {kind: configured for kind in chosen if kind.startswith("served")}
        selected = add_refined_lists(
            self.scenario,
            nets,
            SelectedLists(scored=scored, chosen=chosen),
            weights=weights,
            rounds=self.proposals.source.refinement_rounds(),
        )
        if self.risk_aversions:
            return selected
        return keep_input_below(selected, weights, min_relative_gain)

    def _list_columns(self, cache: JobCache, selected: SelectedLists) -> JobArrays:
        """All columns of the selected lists."""
        lists, chosen = selected.scored.lists, selected.chosen
        requests = np.arange(len(lists))
        picked = {kind: lists[requests, i].astype(np.int64) for kind, i in chosen.items()}
        inputs = lists[:, -1]
        columns: JobArrays = {
            f"unchanged.{kind}": (kind_lists == inputs).all(axis=1)
            for kind, kind_lists in picked.items()
        }
        for name, by_member in selected.scored.rewards.items():
            mean = by_member.mean(axis=0)
            columns |= {f"{name}.{kind}": mean[requests, i] for kind, i in chosen.items()}
            columns |= self._list_space_columns(cache, name, picked)
        if self.scenario.is_simulated:
            columns |= self._true_value_columns(cache, lists, chosen)
        if scenario_tables(self.scenario).candidate_clicks is not None:
            columns |= self._label_columns(picked)
        return columns

    def _true_value_columns(
        self, cache: JobCache, lists: NDArray[np.int16], chosen: dict[str, Indices]
    ) -> JobArrays:
        """Expected clicks of the selected lists and of the best list."""
        values, requests = true_values_of_proposals(self.scenario, lists), np.arange(len(lists))
        columns: JobArrays = {f"true.{kind}": values[requests, i] for kind, i in chosen.items()}
        best = cache.read_arrays(BestTrueValueJob(scenario=self.scenario))["best"]
        return columns | {"true.best": best}

    def _list_space_columns(self, cache: JobCache, name: str, picked: PickedLists) -> JobArrays:
        """Reward of the best list; for the selecting evaluator also the hit flags of the lists."""
        if not self._needs_best_list():
            return {}
        space = cache.read_arrays(ListSpaceJob(evaluator=self.evaluators_by_column()[name]))
        columns: JobArrays = {f"{name}.best": space["best"]}
        if name != SELECTING or "space" not in space:
            return columns
        rewards, candidates = space["space"], scenario_tables(self.scenario).max_candidates
        for kind, lists in picked.items():
            hits = top_share_hits(rewards, torch.from_numpy(lists), candidates)
            columns |= {f"{metric}.{kind}": flags for metric, flags in hits.items()}
        return columns

    def _label_columns(self, picked: PickedLists) -> JobArrays:
        """Label metrics of the lists, by the labels of all candidates."""
        tables, rows = scenario_tables(self.scenario), benchmark_rows(self.scenario)
        return {
            f"{name}.{kind}": values
            for kind, lists in picked.items()
            for cut in LABEL_CUTOFFS
            for name, values in request_label_metrics(tables, rows, lists, cut).items()
        }
