"""All methods by name: what family each is of, its paper, and how it is made ready on a log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from model.baselines.dlcm import Dlcm
from model.baselines.fitting import Run, fit_baseline
from model.baselines.grn import Grn
from model.baselines.judge import Judge
from model.baselines.lambdamart import LambdaMart, TreeSettings
from model.baselines.mir import Mir
from model.baselines.nar4rec import Nar4Rec
from model.baselines.orders import InputOrder, Popularity
from model.baselines.pier import Pier
from model.baselines.pointwise import Pointwise
from model.baselines.prm import Prm
from model.baselines.ranker import LearnedRanker, NetSize, Ranker
from model.baselines.searches import BeamSearch, ExactSearch, HillClimb, RandomLists
from model.baselines.seq2slate import Seq2Slate
from model.baselines.setrank import SetRank
from model.baselines.unirank import UniRank
from model.config import Config
from model.data.log_tables import LogTables

Family = Literal["order", "listwise", "generator", "search"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Materials:
    """What methods are made from.

    tables: of the log.
    config: `evaluator` gives width and hidden size, `train_evaluator` the budget and the seed.
    judge: the frozen evaluator under the objective, which searches ask and GRN learns from.
    judge_id: names that evaluator (say, a digest of its weights); another one trains GRN anew.
    folder: each method that is trained has a folder of its name in it.
    """

    tables: LogTables
    config: Config
    judge: Judge
    judge_id: str
    folder: Path
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Method:
    """One method.

    family: what it is.
    paper: arXiv number or report; empty where there is none.
    build: makes it ready; trains it unless it was trained before.
    """

    family: Family
    paper: str
    build: Callable[[Materials], Ranker]


def _learned(
    name: str, make: Callable[[NetSize, Materials], LearnedRanker], *, taught: bool = False
) -> Callable[[Materials], Ranker]:
    """A method trained by the shared loop; `taught` ones depend on the evaluator."""

    def build(given: Materials) -> Ranker:
        size = NetSize.of(given.tables, given.config.evaluator)
        run = Run(
            training=given.config.train_evaluator,
            folder=given.folder / name,
            device=given.device,
            depends_on=f"{given.judge_id} {given.judge.objective}" if taught else "",
        )
        return fit_baseline(name, lambda: make(size, given), given.tables, run)

    return build


def _trees(given: Materials) -> Ranker:
    return LambdaMart.fit(given.tables, TreeSettings(seed=given.config.train_evaluator.seed))


METHODS: dict[str, Method] = {
    "input_order": Method("order", "", lambda given: InputOrder()),
    "popularity": Method("order", "", lambda given: Popularity.of(given.tables)),
    "pointwise": Method("order", "", _learned("pointwise", lambda size, _: Pointwise(size))),
    "lambdamart": Method("order", "MSR-TR-2010-82", _trees),
    "dlcm": Method("listwise", "1804.05936", _learned("dlcm", lambda size, _: Dlcm(size))),
    "prm": Method("listwise", "1904.06813", _learned("prm", lambda size, _: Prm(size))),
    "setrank": Method("listwise", "1912.05891", _learned("setrank", lambda size, _: SetRank(size))),
    "mir": Method("listwise", "2204.09370", _learned("mir", lambda size, _: Mir(size))),
    "seq2slate": Method(
        "generator", "1810.02019", _learned("seq2slate", lambda size, _: Seq2Slate(size))
    ),
    "grn": Method(
        "generator",
        "2104.00860",
        _learned("grn", lambda size, given: Grn(size, given.judge), taught=True),
    ),
    "nar4rec": Method(
        "generator", "2402.06871", _learned("nar4rec", lambda size, _: Nar4Rec(size))
    ),
    "pier": Method("generator", "2302.03487", _learned("pier", lambda size, _: Pier(size))),
    "unirank": Method(
        "generator", "2605.10527", _learned("unirank", lambda size, _: UniRank(size))
    ),
    "random": Method("search", "", lambda given: RandomLists(given.judge)),
    "hill_climbing": Method("search", "", lambda given: HillClimb(given.judge)),
    "beam_search": Method("search", "", lambda given: BeamSearch(given.judge)),
    "exact": Method("search", "", lambda given: ExactSearch(given.judge)),
}
