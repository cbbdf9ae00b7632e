"""All baseline methods by name, with family, paper and builder."""

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
    """Inputs of the builders.

    Attributes:
        tables: tables of the log.
        config: `evaluator` has the widths, `train_evaluator` the training settings and seed.
        evaluator: used by searches and by GRN; None if no such method is built.
        evaluator_id: identifies the evaluator; another value trains GRN again.
        folder: trained methods are saved in subfolders with their names.
        device: torch device.
    """

    tables: LogTables
    config: PipelineConfig
    evaluator: FrozenEvaluator | None
    evaluator_id: str
    folder: Path
    device: str = "cpu"

    def require_evaluator(self) -> FrozenEvaluator:
        """The evaluator.

        Raises:
            ValueError: there is none.
        """
        if self.evaluator is None:
            raise ValueError("this method needs an evaluator, but `evaluator` is None")
        return self.evaluator


@dataclass(frozen=True, slots=True)
class BaselineMethod:
    """One baseline method.

    Attributes:
        family: kind of method.
        paper: arXiv number or report number; empty without a paper.
        build: builds the method; trains it unless a finished training is in the folder.
        needs_evaluator: whether it uses the evaluator.
        is_trained: whether it is trained and saved in its folder.
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
    """Builder that trains by the shared loop; `uses_evaluator` adds it to the identity."""

    def build(inputs: BaselineInputs) -> Ranker:
        size = NetDimensions.from_tables(inputs.tables, inputs.config.evaluator)
        run = BaselineRunOptions(
            training=inputs.config.train_evaluator,
            folder=inputs.folder / name,
            device=inputs.device,
            extra_identity=f"{inputs.evaluator_id} {inputs.require_evaluator().objective}"
            if uses_evaluator
            else "",
        )
        return fit_baseline(name, lambda: build_net(size, inputs), inputs.tables, run)

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
    "input_order": BaselineMethod("order", "", lambda _: InputOrderRanker()),
    "popularity": BaselineMethod(
        "order", "", lambda inputs: PopularityRanker.from_tables(inputs.tables)
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
            "grn", lambda size, inputs: Grn(size, inputs.require_evaluator()), uses_evaluator=True
        ),
        needs_evaluator=True,
        is_trained=True,
    ),
    "nar4rec": _trained_method("generator", "2402.06871", "nar4rec", Nar4Rec),
    "pier": _trained_method("generator", "2302.03487", "pier", Pier),
    "unirank": _trained_method("generator", "2605.10527", "unirank", UniRank),
    "random": BaselineMethod(
        "search", "", lambda inputs: RandomSearch(inputs.require_evaluator()), needs_evaluator=True
    ),
    "hill_climbing": BaselineMethod(
        "search",
        "",
        lambda inputs: HillClimbSearch(inputs.require_evaluator()),
        needs_evaluator=True,
    ),
    "beam_search": BaselineMethod(
        "search", "", lambda inputs: BeamSearch(inputs.require_evaluator()), needs_evaluator=True
    ),
    "exact": BaselineMethod(
        "search", "", lambda inputs: ExactSearch(inputs.require_evaluator()), needs_evaluator=True
    ),
}
