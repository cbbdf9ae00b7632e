"""Jobs that measure lists: rewards under evaluators, true values, labels, places in the space.

One number a request for everything; `summary.py` turns columns into measures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.checkpoint import read_checkpoint
from model.contract.scoring.objective import select_lists
from model.evaluation.benchmark.benchmark_scenario import (
    Scenario,
    benchmark_rows,
    request_batches,
    scenario_tables,
)
from model.evaluation.benchmark.job_cache import BenchmarkJob, JobArrays, JobCache
from model.evaluation.benchmark.list_space_jobs import (
    BestTrueValueJob,
    ListSpaceJob,
    true_values_of_proposals,
)
from model.evaluation.benchmark.proposal_jobs import (
    SERVED_LIST_COUNT,
    ProposalJob,
    scenario_objective,
)
from model.evaluation.benchmark.served_refinement import refine_proposals, refinement_rounds
from model.evaluation.benchmark.training_jobs import EvaluatorJob
from model.evaluation.list_quality import request_label_metrics
from model.evaluation.list_space import top_share_hits
from model.nets.evaluators.abstract_evaluator import Evaluator
from model.nets.request_tensors import input_list
from model.search.scorer import EvaluatorScorer
from model.training.trainer import settings_text

Floats = NDArray[np.float64]
LABEL_CUTOFFS = (6, 10)  # places looked at where all labels are known
SELECTING = "reward"  # columns of the judge that chooses


@dataclass(frozen=True, slots=True, kw_only=True)
class ListMetricsJob:
    """Everything that is measured of one method's lists.

    lists: of the method.
    judge: the evaluator that chooses what is served.
    second: another evaluator that has its say, too.
    lambdas: instead of what is served with the configured lambda, what would be with each of these.
    """

    proposals: ProposalJob
    evaluator: EvaluatorJob
    holdout_evaluator: EvaluatorJob | None = None
    risk_aversions: tuple[float, ...] = ()

    @property
    def scenario(self) -> Scenario:
        """Of the lists."""
        return self.proposals.scenario

    @property
    def title(self) -> str:
        """See `BenchmarkJob`."""
        return f"{self.proposals.title} by {self.evaluator.user_subset} measured"

    def cache_key(self) -> str:
        """See `BenchmarkJob`."""
        steps = refinement_rounds(self.proposals)
        return f"{settings_text(self.scenario.config.serving)} {steps}" + (
            f" {self.risk_aversions}" if self.risk_aversions else ""
        )

    def evaluators_by_column(self) -> dict[str, EvaluatorJob]:
        """Name of its columns -> evaluator; the first chooses, each has its say."""
        return {SELECTING: self.evaluator} | (
            {} if self.holdout_evaluator is None else {"holdout": self.holdout_evaluator}
        )

    def _needs_best_list(self) -> bool:
        return self.scenario.climb_restarts > 0 and self.scenario.finds_best_by_evaluator

    def dependencies(self) -> tuple[BenchmarkJob, ...]:
        """See `BenchmarkJob`."""
        judges = self.evaluators_by_column().values()
        spaces = [ListSpaceJob(evaluator=judge) for judge in judges if self._needs_best_list()]
        truth = [BestTrueValueJob(scenario=self.scenario)] if self.scenario.is_simulated else []
        return (self.proposals, *judges, *spaces, *truth)

    def run(self, cache: JobCache) -> None:
        """Write one column of R numbers for each measure and kind of list.

        Kinds: `input`, `best`; `as_single_array` (list 0 as it is); `served{K}` (the chosen one of K and
        the input list); `shuffled` and `shuffled_served` (the same two with the incoming order
        shuffled). With lambdas `lambda{x}` in place of all but `input` and `best`.
        """
        kept = cache.read_arrays(self.proposals)
        nets = {
            name: read_checkpoint(cache.job_dir(judge)).load_evaluator()
            for name, judge in self.evaluators_by_column().items()
        }
        lists = _append_input_list(self.scenario, kept["lists"])
        rewards = _member_rewards(self.scenario, nets, lists)
        chosen = self._chosen_indices(rewards[SELECTING])
        columns: JobArrays = {
            "user": scenario_tables(self.scenario).user_index[benchmark_rows(self.scenario)]
        }
        lists, rewards, chosen = self._add_refined_lists(nets, lists, rewards, chosen)
        columns |= self._columns_of(cache, lists, rewards, chosen)
        if "shuffled" in kept and not self.risk_aversions:
            mixed = _append_input_list(self.scenario, kept["shuffled"])
            rewards = _member_rewards(self.scenario, nets, mixed)
            picked = self._served_indices(
                rewards[SELECTING], [(SERVED_LIST_COUNT, 0, SERVED_LIST_COUNT)]
            )
            mixed, rewards, picked = self._add_refined_lists(nets, mixed, rewards, picked)
            kinds = {
                "shuffled": picked["single"],
                "shuffled_served": picked[f"served{SERVED_LIST_COUNT}"],
            }
            columns |= self._columns_of(cache, mixed, rewards, kinds)
        cache.write_arrays(self, columns)

    def _chosen_indices(self, rewards: Floats) -> dict[str, NDArray[np.int64]]:
        """Kind -> (R,) place among the lists, the input list being the last."""
        if not self.risk_aversions:
            return self._served_indices(rewards, self.proposals.list_groups())
        out = {"input": _constant_index(rewards, -1)}
        for weight in self.risk_aversions:
            out[f"risk_aversion{weight:g}"] = _chosen_index(rewards, (0, SERVED_LIST_COUNT), weight)
        return out

    def _served_indices(
        self, rewards: Floats, groups: list[tuple[int, int, int]]
    ) -> dict[str, NDArray[np.int64]]:
        out = {"single": _constant_index(rewards, 0), "input": _constant_index(rewards, -1)}
        for count, first, end in groups:
            weight = self.scenario.config.serving.risk_aversion
            out[f"served{count}"] = _chosen_index(rewards, (first, end), weight)
        return out

    def _add_refined_lists(
        self,
        nets: dict[str, Evaluator],
        lists: NDArray[Any],
        rewards: dict[str, Floats],
        chosen: dict[str, NDArray[np.int64]],
    ) -> tuple[NDArray[Any], dict[str, Floats], dict[str, NDArray[np.int64]]]:
        """With one more list for each kind that is chosen, before the input list, where served."""
        rounds, own = refinement_rounds(self.proposals), self.scenario.config.serving.risk_aversion
        weights = {kind: own for kind in chosen if kind.startswith("served")}
        weights |= {f"risk_aversion{x:g}": x for x in self.risk_aversions}
        if not rounds:
            return lists, rewards, chosen
        at, first = np.arange(len(lists)), lists.shape[1] - 1
        starts = np.stack([lists[at, chosen[kind]] for kind in weights], axis=1)
        made = refine_proposals(self.scenario, nets[SELECTING], starts, rounds).astype(lists.dtype)
        lists = np.concatenate([lists[:, :first], made, lists[:, first:]], axis=1)
        seen = _member_rewards(self.scenario, nets, made)
        rewards = {
            name: np.concatenate([r[..., :first], seen[name], r[..., first:]], axis=2)
            for name, r in rewards.items()
        }
        last = lists.shape[1] - 1
        out = {kind: np.where(place == first, last, place) for kind, place in chosen.items()}
        for place, (kind, weight) in enumerate(weights.items(), first):
            three = np.stack([out[kind], np.full_like(at, place), np.full_like(at, last)], axis=1)
            some = np.take_along_axis(rewards[SELECTING], three[None], axis=2)
            out[kind] = three[at, select_lists(some, weight)]
        return lists, rewards, out

    def _columns_of(
        self,
        store: JobCache,
        lists: NDArray[Any],
        rewards: dict[str, Floats],
        kinds: dict[str, NDArray[np.int64]],
    ) -> JobArrays:
        """Columns of these kinds of lists."""
        at, problem = np.arange(len(lists)), self.scenario
        picked = {kind: lists[at, place].astype(np.int64) for kind, place in kinds.items()}
        given = lists[:, -1]
        out: JobArrays = {f"unchanged.{k}": (own == given).all(axis=1) for k, own in picked.items()}
        for name, by_member in rewards.items():
            mean = by_member.mean(axis=0)
            out |= {f"{name}.{kind}": mean[at, place] for kind, place in kinds.items()}
            out |= self._list_space_columns(store, name, picked)
        if problem.is_simulated:
            values = true_values_of_proposals(problem, lists)
            out |= {f"true.{kind}": values[at, place] for kind, place in kinds.items()}
            out["true.best"] = store.read_arrays(BestTrueValueJob(scenario=problem))["best"]
        if scenario_tables(problem).candidate_clicks is not None:
            out |= self._label_columns(picked)
        return out

    def _list_space_columns(
        self, store: JobCache, name: str, picked: dict[str, NDArray[np.int64]]
    ) -> JobArrays:
        """The best list's reward, and where the picked ones stand among all (first judge only)."""
        if not self._needs_best_list():
            return {}
        space = store.read_arrays(ListSpaceJob(evaluator=self.evaluators_by_column()[name]))
        out: JobArrays = {f"{name}.best": space["best"]}
        if name != SELECTING or "space" not in space:
            return out
        rewards, candidates = space["space"], scenario_tables(self.scenario).max_candidates
        for kind, own in picked.items():
            found = top_share_hits(rewards, torch.from_numpy(own), candidates)
            out |= {f"{hit}.{kind}": flags for hit, flags in found.items()}
        return out

    def _label_columns(self, picked: dict[str, NDArray[np.int64]]) -> JobArrays:
        tables, rows = scenario_tables(self.scenario), benchmark_rows(self.scenario)
        return {
            f"{name}.{kind}": values
            for kind, own in picked.items()
            for cut in LABEL_CUTOFFS
            for name, values in request_label_metrics(tables, rows, own, cut).items()
        }


def _constant_index(rewards: Floats, index: int) -> NDArray[np.int64]:
    """(R,) the same place for every request; -1 is the last list."""
    _, requests, lists = rewards.shape
    return np.full(requests, index % lists, dtype=np.int64)


def _chosen_index(
    rewards: Floats, list_range: tuple[int, int], risk_aversion: float
) -> NDArray[np.int64]:
    """(R,) place of the chosen list, of these and the last."""
    first, end = list_range
    last = rewards.shape[2] - 1
    some = np.concatenate([rewards[:, :, first:end], rewards[:, :, last:]], axis=2)
    place = select_lists(some, risk_aversion) + first
    return np.where(place == end, last, place)


def _member_rewards(
    scenario: Scenario, nets: dict[str, Evaluator], lists: NDArray[Any]
) -> dict[str, Floats]:
    """(E, R, C + 1) rewards of the lists under each evaluator."""
    parts: dict[str, list[Tensor]] = {name: [] for name in nets}
    for part, request in request_batches(scenario):
        some = torch.from_numpy(lists[part].astype(np.int64))
        for name, net in nets.items():
            parts[name].append(
                EvaluatorScorer(net, request, scenario_objective(scenario)).member_rewards(some)
            )
    return {name: torch.cat(made, dim=1).numpy().astype(np.float64) for name, made in parts.items()}


def _append_input_list(scenario: Scenario, lists: NDArray[Any]) -> NDArray[Any]:
    """(R, C, M) -> (R, C + 1, M), the input list last."""
    parts = [input_list(request) for _, request in request_batches(scenario)]
    given = torch.cat(parts).numpy()
    return np.concatenate([lists, given[:, None].astype(lists.dtype)], axis=1)
