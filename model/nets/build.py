"""Builders: the only place of this folder that sees a configuration."""

from __future__ import annotations

from model.config import EvaluatorConfig, GeneratorConfig
from model.nets.context_evaluator import ContextEvaluator
from model.nets.evaluator import Evaluator
from model.nets.generator import Generator
from model.nets.nlgr_evaluator import NlgrEvaluator
from model.nets.pair_evaluator import PairEvaluator
from model.nets.shape import Fields


def build_evaluator(config: EvaluatorConfig, fields: Fields, slots: int) -> Evaluator:
    """An evaluator of the configured kind with fresh weights."""
    if config.kind == "nlgr":
        return NlgrEvaluator(
            fields,
            slots=slots,
            width=config.width,
            hidden=config.hidden,
            members=config.members,
        )
    if config.kind == "pair":
        return PairEvaluator(
            fields,
            slots=slots,
            width=config.width,
            hidden=config.hidden,
            members=config.members,
            dropout=config.dropout,
            factors=config.factors,
        )
    return ContextEvaluator(
        fields,
        slots=slots,
        width=config.width,
        hidden=config.hidden,
        members=config.members,
        layers=config.layers,
        dropout=config.dropout,
    )


def build_generator(
    config: GeneratorConfig, evaluator: EvaluatorConfig, fields: Fields, slots: int
) -> Generator:
    """A generator with fresh weights; it shares the evaluator's embedding width."""
    return Generator(fields, slots=slots, width=evaluator.width, hidden=config.hidden)


def start_from_evaluator(generator: Generator, evaluator: Evaluator) -> None:
    """Copy embeddings, and the user encoder if it has one, of the evaluator's first member."""
    width = generator.width
    mine = generator.state_dict()
    for name, value in evaluator.state_dict().items():
        if name == "embedding.table":
            mine[name].copy_(value[:, :width])
        elif name.startswith("user."):
            mine[name].copy_(value[0])
