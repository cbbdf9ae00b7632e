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
from model.contract.choice import choose
from model.loop import told
from model.nets.evaluator import Evaluator
from model.nets.inputs import input_list
from model.offline_report.comparison.jobs import Arrays, Job, Store
from model.offline_report.comparison.listing import (
    SERVED,
    ListsJob,
    objective_of,
)
from model.offline_report.comparison.problems import (
    Problem,
    measured_rows,
    request_batches,
    tables_of,
)
from model.offline_report.comparison.refining import climbed, rounds_of
from model.offline_report.comparison.spaces import SpaceJob, TruthJob, true_of_lists
from model.offline_report.comparison.training import EvaluatorJob
from model.offline_report.space import hits
from model.offline_report.truth import labelled_quality
from model.search import Scorer

Floats = NDArray[np.float64]
CUTS = (6, 10)  # places looked at where all labels are known
FIRST = "reward"  # columns of the judge that chooses


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureJob:
    """Everything that is measured of one method's lists.

    lists: of the method.
    judge: the evaluator that chooses what is served.
    second: another evaluator that has its say, too.
    lambdas: instead of what is served with the configured lambda, what would be with each of these.
    """

    lists: ListsJob
    judge: EvaluatorJob
    second: EvaluatorJob | None = None
    lambdas: tuple[float, ...] = ()

    @property
    def problem(self) -> Problem:
        """Of the lists."""
        return self.lists.problem

    @property
    def title(self) -> str:
        """See `Job`."""
        return f"{self.lists.title} by {self.judge.users} measured"

    def depends_on(self) -> str:
        """See `Job`."""
        steps = rounds_of(self.lists)
        return f"{told(self.problem.config.serving)} {steps}" + (
            f" {self.lambdas}" if self.lambdas else ""
        )

    def judges(self) -> dict[str, EvaluatorJob]:
        """Name of its columns -> evaluator; the first chooses, each has its say."""
        return {FIRST: self.judge} | ({} if self.second is None else {"second": self.second})

    def _looks_for_best(self) -> bool:
        return self.problem.restarts > 0 and self.problem.best_by_judge

    def needs(self) -> tuple[Job, ...]:
        """See `Job`."""
        judges = self.judges().values()
        spaces = [SpaceJob(evaluator=judge) for judge in judges if self._looks_for_best()]
        truth = [TruthJob(problem=self.problem)] if self.problem.simulated else []
        return (self.lists, *judges, *spaces, *truth)

    def run(self, store: Store) -> None:
        """Write one column of R numbers for each measure and kind of list.

        Kinds: `input`, `best`; `single` (list 0 as it is); `served{K}` (the chosen one of K and
        the input list); `shuffled` and `shuffled_served` (the same two with the incoming order
        shuffled). With lambdas `lambda{x}` in place of all but `input` and `best`.
        """
        kept = store.arrays(self.lists)
        nets = {
            name: read_checkpoint(store.folder(judge)).evaluator()
            for name, judge in self.judges().items()
        }
        lists = _with_input(self.problem, kept["lists"])
        rewards = _rewards(self.problem, nets, lists)
        chosen = self._chosen(rewards[FIRST])
        columns: Arrays = {"user": tables_of(self.problem).user_place[measured_rows(self.problem)]}
        lists, rewards, chosen = self._refined(nets, lists, rewards, chosen)
        columns |= self._of(store, lists, rewards, chosen)
        if "shuffled" in kept and not self.lambdas:
            mixed = _with_input(self.problem, kept["shuffled"])
            rewards = _rewards(self.problem, nets, mixed)
            picked = self._served(rewards[FIRST], [(SERVED, 0, SERVED)])
            mixed, rewards, picked = self._refined(nets, mixed, rewards, picked)
            kinds = {"shuffled": picked["single"], "shuffled_served": picked[f"served{SERVED}"]}
            columns |= self._of(store, mixed, rewards, kinds)
        store.write_arrays(self, columns)

    def _chosen(self, rewards: Floats) -> dict[str, NDArray[np.int64]]:
        """Kind -> (R,) place among the lists, the input list being the last."""
        if not self.lambdas:
            return self._served(rewards, self.lists.groups())
        out = {"input": _everywhere(rewards, -1)}
        for weight in self.lambdas:
            out[f"lambda{weight:g}"] = _choice(rewards, (0, SERVED), weight)
        return out

    def _served(
        self, rewards: Floats, groups: list[tuple[int, int, int]]
    ) -> dict[str, NDArray[np.int64]]:
        out = {"single": _everywhere(rewards, 0), "input": _everywhere(rewards, -1)}
        for count, first, end in groups:
            weight = self.problem.config.serving.pessimism
            out[f"served{count}"] = _choice(rewards, (first, end), weight)
        return out

    def _refined(
        self,
        nets: dict[str, Evaluator],
        lists: NDArray[Any],
        rewards: dict[str, Floats],
        chosen: dict[str, NDArray[np.int64]],
    ) -> tuple[NDArray[Any], dict[str, Floats], dict[str, NDArray[np.int64]]]:
        """With one more list for each kind that is chosen, before the input list, where served."""
        rounds, own = rounds_of(self.lists), self.problem.config.serving.pessimism
        weights = {kind: own for kind in chosen if kind.startswith("served")}
        weights |= {f"lambda{x:g}": x for x in self.lambdas}
        if not rounds:
            return lists, rewards, chosen
        at, first = np.arange(len(lists)), lists.shape[1] - 1
        starts = np.stack([lists[at, chosen[kind]] for kind in weights], axis=1)
        made = climbed(self.problem, nets[FIRST], starts, rounds).astype(lists.dtype)
        lists = np.concatenate([lists[:, :first], made, lists[:, first:]], axis=1)
        seen = _rewards(self.problem, nets, made)
        rewards = {
            name: np.concatenate([r[..., :first], seen[name], r[..., first:]], axis=2)
            for name, r in rewards.items()
        }
        last = lists.shape[1] - 1
        out = {kind: np.where(place == first, last, place) for kind, place in chosen.items()}
        for place, (kind, weight) in enumerate(weights.items(), first):
            three = np.stack([out[kind], np.full_like(at, place), np.full_like(at, last)], axis=1)
            some = np.take_along_axis(rewards[FIRST], three[None], axis=2)
            out[kind] = three[at, choose(some, weight)]
        return lists, rewards, out

    def _of(
        self,
        store: Store,
        lists: NDArray[Any],
        rewards: dict[str, Floats],
        kinds: dict[str, NDArray[np.int64]],
    ) -> Arrays:
        """Columns of these kinds of lists."""
        at, problem = np.arange(len(lists)), self.problem
        picked = {kind: lists[at, place].astype(np.int64) for kind, place in kinds.items()}
        given = lists[:, -1]
        out: Arrays = {f"same.{k}": (own == given).all(axis=1) for k, own in picked.items()}
        for name, by_member in rewards.items():
            mean = by_member.mean(axis=0)
            out |= {f"{name}.{kind}": mean[at, place] for kind, place in kinds.items()}
            out |= self._in_space(store, name, picked)
        if problem.simulated:
            values = true_of_lists(problem, lists)
            out |= {f"true.{kind}": values[at, place] for kind, place in kinds.items()}
            out["true.best"] = store.arrays(TruthJob(problem=problem))["best"]
        if tables_of(problem).candidate_clicks is not None:
            out |= self._by_labels(picked)
        return out

    def _in_space(self, store: Store, name: str, picked: dict[str, NDArray[np.int64]]) -> Arrays:
        """The best list's reward, and where the picked ones stand among all (first judge only)."""
        if not self._looks_for_best():
            return {}
        space = store.arrays(SpaceJob(evaluator=self.judges()[name]))
        out: Arrays = {f"{name}.best": space["best"]}
        if name != FIRST or "space" not in space:
            return out
        rewards, candidates = space["space"], tables_of(self.problem).max_candidates
        for kind, own in picked.items():
            found = hits(rewards, torch.from_numpy(own), candidates)
            out |= {f"{hit}.{kind}": flags for hit, flags in found.items()}
        return out

    def _by_labels(self, picked: dict[str, NDArray[np.int64]]) -> Arrays:
        tables, rows = tables_of(self.problem), measured_rows(self.problem)
        return {
            f"{name}.{kind}": values
            for kind, own in picked.items()
            for cut in CUTS
            for name, values in labelled_quality(tables, rows, own, cut).items()
        }


def _everywhere(rewards: Floats, place: int) -> NDArray[np.int64]:
    """(R,) the same place for every request; -1 is the last list."""
    _, requests, lists = rewards.shape
    return np.full(requests, place % lists, dtype=np.int64)


def _choice(rewards: Floats, part: tuple[int, int], pessimism: float) -> NDArray[np.int64]:
    """(R,) place of the chosen list, of these and the last."""
    first, end = part
    last = rewards.shape[2] - 1
    some = np.concatenate([rewards[:, :, first:end], rewards[:, :, last:]], axis=2)
    place = choose(some, pessimism) + first
    return np.where(place == end, last, place)


def _rewards(
    problem: Problem, nets: dict[str, Evaluator], lists: NDArray[Any]
) -> dict[str, Floats]:
    """(E, R, C + 1) rewards of the lists under each evaluator."""
    parts: dict[str, list[Tensor]] = {name: [] for name in nets}
    for part, request in request_batches(problem):
        some = torch.from_numpy(lists[part].astype(np.int64))
        for name, net in nets.items():
            parts[name].append(Scorer(net, request, objective_of(problem)).members(some))
    return {name: torch.cat(made, dim=1).numpy().astype(np.float64) for name, made in parts.items()}


def _with_input(problem: Problem, lists: NDArray[Any]) -> NDArray[Any]:
    """(R, C, M) -> (R, C + 1, M), the input list last."""
    parts = [input_list(request) for _, request in request_batches(problem)]
    given = torch.cat(parts).numpy()
    return np.concatenate([lists, given[:, None].astype(lists.dtype)], axis=1)
