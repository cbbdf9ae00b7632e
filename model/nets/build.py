"""Builders: the only module of this package that reads a configuration."""

from __future__ import annotations

import torch

from model.config.pipeline_config import EvaluatorConfig, GeneratorConfig
from model.nets.evaluators.abstract_evaluator import Evaluator
from model.nets.evaluators.context_evaluator import ContextEvaluator
from model.nets.evaluators.nlgr_evaluator import NlgrEvaluator
from model.nets.evaluators.pair_evaluator import PairEvaluator
from model.nets.field_layout import FieldLayout
from model.nets.generators.abstract_generator import Generator
from model.nets.generators.guided_generator import GuidedGenerator
from model.nets.generators.nlgr_generator import NlgrGenerator


def build_evaluator(config: EvaluatorConfig, fields: FieldLayout, slots: int) -> Evaluator:
    """Build an evaluator of the configured kind with fresh weights."""
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
            click_models=config.member_click_models,
            dropout=config.dropout,
            factor_width=config.factor_width,
            traits=config.traits if config.item_interactions else None,
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
    config: GeneratorConfig, evaluator: EvaluatorConfig, fields: FieldLayout, slots: int
) -> Generator:
    """Build a generator with fresh weights for an evaluator of this configuration.

    The published generator uses the evaluator's embedding width, the guided one the widths of its
    encoding.
    """
    if config.kind == "nlgr":
        return NlgrGenerator(fields, slots=slots, width=evaluator.width, hidden=config.hidden)
    with torch.device("meta"):  # only its sizes are needed
        sized = build_evaluator(evaluator, fields, slots)
    return GuidedGenerator(
        members=sized.members,
        candidate_width=sized.candidate_width,
        context_width=sized.context_width,
        slots=slots,
        hidden=config.hidden,
        heads=config.heads,
        head_width=config.head_width,
        starts_from_relevance_order=config.starts_from_relevance_order and evaluator.kind == "pair",
    )


def init_from_evaluator(generator: Generator, evaluator: Evaluator) -> None:
    """Copy embeddings, and the user encoder if it has one, of the evaluator's first member.

    Does nothing for a guided generator, which has no embeddings.
    """
    if not isinstance(generator, NlgrGenerator):
        return
    width = generator.width
    weights = generator.state_dict()
    for name, value in evaluator.state_dict().items():
        if name == "embedding.weight":
            weights[name].copy_(value[:, :width])
        elif name.startswith("user_encoder."):
            weights[name].copy_(value[0])
