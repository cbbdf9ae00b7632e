"""Jobs that measure lists: rewards under evaluators, true values, labels, places in the space.

One number a request for everything; `summary.py` turns columns into measures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.checkpoint import read_checkpoint
from model.contract.choice import choose
from model.loop import told
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
from model.offline_report.comparison.spaces import SpaceJob, TruthJob, true_of_lists
from model.offline_report.comparison.training import EvaluatorJob
from model.offline_report.space import hits, place_in_space
from model.offline_report.truth import labelled_quality
from model.search import Scorer

Floats = NDArray[np.float64]
CUTS = (6, 10)  # places looked at where all labels are known


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureJob:
    """Everything that is measured of one method's lists.

    lists: of the method.
    judge: the evaluator that chooses what is served.
    second: another evaluator that has its say, too.
    """

    lists: ListsJob
    judge: EvaluatorJob
    second: EvaluatorJob | None = None

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
        return told(self.problem.config.serving)

    def judges(self) -> tuple[EvaluatorJob, ...]:
        """The first chooses; each has its say."""
        return (self.judge,) if self.second is None else (self.judge, self.second)

    def _looks_for_best(self) -> bool:
        return self.problem.restarts > 0

    def needs(self) -> tuple[Job, ...]:
        """See `Job`."""
        spaces = [SpaceJob(evaluator=judge) for judge in self.judges() if self._looks_for_best()]
        truth = [TruthJob(problem=self.problem)] if self.problem.simulated else []
        return (self.lists, *self.judges(), *spaces, *truth)

    def run(self, store: Store) -> None:
        """Write one column of R numbers for each measure and kind of list.

        Kinds: `input`, `best`; `single` (list 0 as it is); `served{K}` (the chosen one of K and
        the input list); `shuffled` and `shuffled_served` (the same two with the incoming order
        shuffled).
        """
        kept = store.arrays(self.lists)
        lists = _with_input(self.problem, kept["lists"])
        chosen = self._chosen(store, lists, self.lists.groups())
        columns: Arrays = {"user": tables_of(self.problem).user_place[measured_rows(self.problem)]}
        columns |= self._of(store, lists, chosen)
        if "shuffled" in kept:
            mixed = _with_input(self.problem, kept["shuffled"])
            picked = self._chosen(store, mixed, [(SERVED, 0, SERVED)])
            kinds = {"shuffled": picked["single"], "shuffled_served": picked[f"served{SERVED}"]}
            columns |= self._of(store, mixed, kinds)
        store.write_arrays(self, columns)

    def _chosen(
        self, store: Store, lists: NDArray[Any], groups: list[tuple[int, int, int]]
    ) -> dict[str, NDArray[np.int64]]:
        """Kind -> (R,) place among the lists, the input list being the last."""
        rewards = self._rewards(store, self.judge, lists)  # (E, R, C + 1)
        last = lists.shape[1] - 1
        out = {"single": np.zeros(len(lists), dtype=np.int64)}
        out["input"] = np.full(len(lists), last, dtype=np.int64)
        for count, first, end in groups:
            some = np.concatenate([rewards[:, :, first:end], rewards[:, :, last:]], axis=2)
            place = choose(some, self.problem.config.serving.pessimism) + first
            out[f"served{count}"] = np.where(place == end, last, place)
        return out

    def _of(self, store: Store, lists: NDArray[Any], kinds: dict[str, NDArray[np.int64]]) -> Arrays:
        """Columns of these lists."""
        at, problem = np.arange(len(lists)), self.problem
        picked = {kind: lists[at, place].astype(np.int64) for kind, place in kinds.items()}
        given = lists[:, -1]
        out: Arrays = {f"same.{k}": (own == given).all(axis=1) for k, own in picked.items()}
        for number, judge in enumerate(self.judges()):
            mean = self._rewards(store, judge, lists).mean(axis=0)
            name = "reward" if number == 0 else "second"
            out |= {f"{name}.{kind}": mean[at, place] for kind, place in kinds.items()}
            out |= self._in_space(store, judge, name, picked)
        if problem.simulated:
            values = true_of_lists(problem, lists)
            out |= {f"true.{kind}": values[at, place] for kind, place in kinds.items()}
            out["true.best"] = store.arrays(TruthJob(problem=problem))["best"]
        if tables_of(problem).candidate_clicks is not None:
            out |= self._by_labels(picked)
        return out

    def _in_space(
        self, store: Store, judge: EvaluatorJob, name: str, picked: dict[str, NDArray[np.int64]]
    ) -> Arrays:
        """The best list's reward, and where the picked ones stand among all (first judge only)."""
        if not self._looks_for_best():
            return {}
        space = store.arrays(SpaceJob(evaluator=judge))
        out: Arrays = {f"{name}.best": space["best"]}
        if name != "reward" or "space" not in space:
            return out
        rewards, candidates = space["space"], tables_of(self.problem).max_candidates
        for kind, own in picked.items():
            place = place_in_space(torch.from_numpy(own), candidates).numpy()
            for hit, flags in hits(rewards, rewards[np.arange(len(rewards)), place]).items():
                out[f"{hit}.{kind}"] = flags
        return out

    def _by_labels(self, picked: dict[str, NDArray[np.int64]]) -> Arrays:
        tables, rows = tables_of(self.problem), measured_rows(self.problem)
        return {
            f"{name}.{kind}": values
            for kind, own in picked.items()
            for cut in CUTS
            for name, values in labelled_quality(tables, rows, own, cut).items()
        }

    def _rewards(self, store: Store, judge: EvaluatorJob, lists: NDArray[Any]) -> Floats:
        """(E, R, C + 1) rewards of the lists under an evaluator."""
        net = read_checkpoint(store.folder(judge)).evaluator()
        parts = []
        for part, request in request_batches(self.problem):
            some = torch.from_numpy(lists[part].astype(np.int64))
            parts.append(Scorer(net, request, objective_of(self.problem)).members(some))
        return torch.cat(parts, dim=1).numpy().astype(np.float64)


def _with_input(problem: Problem, lists: NDArray[Any]) -> NDArray[Any]:
    """(R, C, M) -> (R, C + 1, M), the input list last."""
    parts = [input_list(request) for _, request in request_batches(problem)]
    given = torch.cat(parts).numpy()
    return np.concatenate([lists, given[:, None].astype(lists.dtype)], axis=1)
