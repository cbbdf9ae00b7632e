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
    judge: the frozen evaluator under the objective, which searches ask and GRN learns from; None
        where no method that asks it is made.
    judge_id: names that evaluator (say, a digest of its weights); another one trains GRN anew.
    folder: each method that is trained has a folder of its name in it.
    """

    tables: LogTables
    config: Config
    judge: Judge | None
    judge_id: str
    folder: Path
    device: str = "cpu"

    def asked(self) -> Judge:
        """The evaluator, for a method that cannot do without."""
        if self.judge is None:
            raise ValueError("this method asks an evaluator, and none was given")
        return self.judge


@dataclass(frozen=True, slots=True)
class Method:
    """One method.

    family: what it is.
    paper: arXiv number or report; empty where there is none.
    build: makes it ready; trains it unless it was trained before.
    asks: whether it needs the evaluator.
    learns: whether it is trained, and kept in its folder.
    """

    family: Family
    paper: str
    build: Callable[[Materials], Ranker]
    asks: bool = False
    learns: bool = False


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
            depends_on=f"{given.judge_id} {given.asked().objective}" if taught else "",
        )
        return fit_baseline(name, lambda: make(size, given), given.tables, run)

    return build


def _trees(given: Materials) -> Ranker:
    seed = given.config.train_evaluator.seed
    return LambdaMart.fit(given.tables, TreeSettings(seed=seed), given.folder / "lambdamart")


def _net(family: Family, paper: str, name: str, make: Callable[[NetSize], LearnedRanker]) -> Method:
    return Method(family, paper, _learned(name, lambda size, _: make(size)), learns=True)


METHODS: dict[str, Method] = {
    "input_order": Method("order", "", lambda given: InputOrder()),
    "popularity": Method("order", "", lambda given: Popularity.of(given.tables)),
    "pointwise": _net("order", "", "pointwise", Pointwise),
    "lambdamart": Method("order", "MSR-TR-2010-82", _trees, learns=True),
    "dlcm": _net("listwise", "1804.05936", "dlcm", Dlcm),
    "prm": _net("listwise", "1904.06813", "prm", Prm),
    "setrank": _net("listwise", "1912.05891", "setrank", SetRank),
    "mir": _net("listwise", "2204.09370", "mir", Mir),
    "seq2slate": _net("generator", "1810.02019", "seq2slate", Seq2Slate),
    "grn": Method(
        "generator",
        "2104.00860",
        _learned("grn", lambda size, given: Grn(size, given.asked()), taught=True),
        asks=True,
        learns=True,
    ),
    "nar4rec": _net("generator", "2402.06871", "nar4rec", Nar4Rec),
    "pier": _net("generator", "2302.03487", "pier", Pier),
    "unirank": _net("generator", "2605.10527", "unirank", UniRank),
    "random": Method("search", "", lambda given: RandomLists(given.asked()), asks=True),
    "hill_climbing": Method("search", "", lambda given: HillClimb(given.asked()), asks=True),
    "beam_search": Method("search", "", lambda given: BeamSearch(given.asked()), asks=True),
    "exact": Method("search", "", lambda given: ExactSearch(given.asked()), asks=True),
}
