"""All methods by name: what family each is of, its paper, and how it is made ready on a log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from model.baselines.baseline_training import BaselineRunOptions, fit_baseline
from model.baselines.dlcm import Dlcm
from model.baselines.frozen_evaluator import FrozenEvaluator
from model.baselines.grn import Grn
from model.baselines.lambdamart import LambdaMart, LambdaMartSettings
from model.baselines.mir import Mir
from model.baselines.nar4rec import Nar4Rec
from model.baselines.pier import Pier
from model.baselines.pointwise import Pointwise
from model.baselines.prm import Prm
from model.baselines.ranker import LearnedRanker, NetDimensions, Ranker
from model.baselines.search_baselines import BeamSearch, ExactSearch, HillClimbSearch, RandomSearch
from model.baselines.seq2slate import Seq2Slate
from model.baselines.setrank import SetRank
from model.baselines.simple_rankers import InputOrderRanker, PopularityRanker
from model.baselines.unirank import UniRank
from model.config.pipeline_config import PipelineConfig
from model.data.tables.log_tables import LogTables

MethodFamily = Literal["order", "listwise", "generator", "search"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineInputs:
    """What methods are made from.

    tables: of the log.
    config: `load_evaluator` gives width and hidden size, `train_evaluator` the budget and the seed.
    judge: the frozen evaluator under the objective, which searches ask and GRN learns from; None
        where no method that asks it is made.
    evaluator_id: names that evaluator (say, a digest of its weights); another one trains GRN anew.
    folder: each method that is trained has a folder of its name in it.
    """

    tables: LogTables
    config: PipelineConfig
    evaluator: FrozenEvaluator | None
    evaluator_id: str
    folder: Path
    device: str = "cpu"

    def require_evaluator(self) -> FrozenEvaluator:
        """The evaluator, for a method that cannot do without."""
        if self.evaluator is None:
            raise ValueError("this method asks an evaluator, and none was given")
        return self.evaluator


@dataclass(frozen=True, slots=True)
class BaselineMethod:
    """One method.

    family: what it is.
    paper: arXiv number or report; empty where there is none.
    build: makes it ready; trains it unless it was trained before.
    asks: whether it needs the evaluator.
    learns: whether it is trained, and kept in its folder.
    """

    family: MethodFamily
    paper: str
    build: Callable[[BaselineInputs], Ranker]
    needs_evaluator: bool = False
    is_trained: bool = False


def _trained_by_loop(
    name: str,
    build_net: Callable[[NetDimensions, BaselineInputs], LearnedRanker],
    *,
    uses_evaluator: bool = False,
) -> Callable[[BaselineInputs], Ranker]:
    """A method trained by the shared loop; `trained` ones depend on the evaluator."""

    def build(given: BaselineInputs) -> Ranker:
        size = NetDimensions.from_tables(given.tables, given.config.evaluator)
        run = BaselineRunOptions(
            training=given.config.train_evaluator,
            folder=given.folder / name,
            device=given.device,
            extra_identity=f"{given.evaluator_id} {given.require_evaluator().objective}"
            if uses_evaluator
            else "",
        )
        return fit_baseline(name, lambda: build_net(size, given), given.tables, run)

    return build


def _build_lambdamart(inputs: BaselineInputs) -> Ranker:
    seed = inputs.config.train_evaluator.seed
    return LambdaMart.fit(
        inputs.tables, LambdaMartSettings(seed=seed), inputs.folder / "lambdamart"
    )


def _trained_method(
    family: MethodFamily, paper: str, name: str, build_net: Callable[[NetDimensions], LearnedRanker]
) -> BaselineMethod:
    return BaselineMethod(
        family, paper, _trained_by_loop(name, lambda size, _: build_net(size)), is_trained=True
    )


BASELINE_METHODS: dict[str, BaselineMethod] = {
    "input_order": BaselineMethod("order", "", lambda given: InputOrderRanker()),
    "popularity": BaselineMethod(
        "order", "", lambda given: PopularityRanker.from_tables(given.tables)
    ),
    "pointwise": _trained_method("order", "", "pointwise", Pointwise),
    "lambdamart": BaselineMethod("order", "MSR-TR-2010-82", _build_lambdamart, is_trained=True),
    "dlcm": _trained_method("listwise", "1804.05936", "dlcm", Dlcm),
    "prm": _trained_method("listwise", "1904.06813", "prm", Prm),
    "setrank": _trained_method("listwise", "1912.05891", "setrank", SetRank),
    "mir": _trained_method("listwise", "2204.09370", "mir", Mir),
    "seq2slate": _trained_method("generator", "1810.02019", "seq2slate", Seq2Slate),
    "grn": BaselineMethod(
        "generator",
        "2104.00860",
        _trained_by_loop(
            "grn", lambda size, given: Grn(size, given.require_evaluator()), uses_evaluator=True
        ),
        needs_evaluator=True,
        is_trained=True,
    ),
    "nar4rec": _trained_method("generator", "2402.06871", "nar4rec", Nar4Rec),
    "pier": _trained_method("generator", "2302.03487", "pier", Pier),
    "unirank": _trained_method("generator", "2605.10527", "unirank", UniRank),
    "random": BaselineMethod(
        "search", "", lambda given: RandomSearch(given.require_evaluator()), needs_evaluator=True
    ),
    "hill_climbing": BaselineMethod(
        "search", "", lambda given: HillClimbSearch(given.require_evaluator()), needs_evaluator=True
    ),
    "beam_search": BaselineMethod(
        "search", "", lambda given: BeamSearch(given.require_evaluator()), needs_evaluator=True
    ),
    "exact": BaselineMethod(
        "search", "", lambda given: ExactSearch(given.require_evaluator()), needs_evaluator=True
    ),
}
