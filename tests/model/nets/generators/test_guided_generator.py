"""The generator that reads the evaluator's encoding."""

import dataclasses

import pytest
import torch

from model.config.pipeline_config import EvaluatorConfig, GeneratorConfig, GeneratorTrainingConfig
from model.contract.scoring.objective import RewardWeights
from model.nets.build import build_evaluator, build_generator
from model.nets.evaluators.pair_evaluator import PairEvaluator
from model.nets.generators.abstract_generator import Generator
from model.nets.generators.guided_generator import GuidedGenerator
from model.nets.request_tensors import RequestTensors
from model.search.neighbors import all_neighbors
from model.search.proposals import EditingOptions, generate_lists
from model.search.scorer import EvaluatorScorer
from model.training.generator.neighbor_loss import NeighborLoss
from tests.random_requests import (
    TOY_FIELDS,
    TOY_SLOTS,
    encoded_request,
    input_lists,
    random_request,
    small_generator,
)

KINDS = [
    EvaluatorConfig(kind="nlgr", hidden=8, members=2),
    EvaluatorConfig(kind="context", hidden=8, members=2),
    EvaluatorConfig(kind="pair", hidden=8, members=2, factor_width=4),
]


def logits(net: Generator, request: RequestTensors, lists: torch.Tensor, slot: int):
    """PDU's (B, M) and CRU's (B, N) for lists (B, M) and one slot."""
    state = net.encode(request, encoded_request(request))
    rows = lists.unsqueeze(1) + state.row_offset
    seen = net.encode_lists(state, rows)
    items = net.item_logits(state, seen, rows, torch.full_like(rows[..., :1], slot))
    return net.slot_logits(state, seen).squeeze(1), items.squeeze(1)


@pytest.mark.parametrize("config", KINDS, ids=lambda c: c.kind)
def test_guided_generator_works_with_every_evaluator(config: EvaluatorConfig):
    torch.manual_seed(0)
    evaluator = build_evaluator(config, TOY_FIELDS, TOY_SLOTS).requires_grad_(False).eval()
    net = build_generator(GeneratorConfig(kind="guided", hidden=8), config, TOY_FIELDS, TOY_SLOTS)
    request = random_request()
    how = EditingOptions(edits=3, num_lists=6, noise_scale=2.0)

    lists = generate_lists(net, EvaluatorScorer(evaluator, request, RewardWeights()), how)

    assert (lists != input_lists(request).unsqueeze(1)).any(dim=-1).any(dim=-1).all()


def test_guided_generator_sends_evaluator_no_gradient():
    config = EvaluatorConfig(hidden=8)
    evaluator = build_evaluator(config, TOY_FIELDS, TOY_SLOTS)
    net = build_generator(GeneratorConfig(kind="guided"), config, TOY_FIELDS, TOY_SLOTS)
    request = random_request()

    state = net.encode(request, evaluator.encode(request))
    parts = (*state.slot_tables, *state.candidate_tables, *state.list_constants)
    torch.stack([part.sum() for part in parts]).sum().backward()

    assert all(p.grad is None for p in evaluator.parameters())
    assert any(p.grad is not None for p in net.parameters())


def test_item_logits_depend_on_other_slots_only():
    net, request = small_generator("guided"), random_request(batch=2, ragged=False)
    assert isinstance(net, GuidedGenerator)
    with torch.no_grad():
        net.cru_swap_embedding.zero_()  # else item 6, now standing in the list, would be marked
    lists = input_lists(request)
    here, other = lists.clone(), lists.clone()
    here[:, 1] = 6
    other[:, 2] = 6

    _, given = logits(net, request, lists, slot=1)
    _, changed_here = logits(net, request, here, slot=1)
    _, changed_beside = logits(net, request, other, slot=1)

    assert torch.allclose(given, changed_here, atol=1e-6)
    assert not torch.allclose(given, changed_beside, atol=1e-3)


def test_guided_generator_ignores_padded_slots():
    net, request = small_generator("guided"), random_request(batch=3)  # rows 1, 2: fewer slots
    lists = input_lists(request)
    filled = torch.where(request.slot_valid, lists, 5)

    for given, other in zip(
        logits(net, request, lists, 0), logits(net, request, filled, 0), strict=True
    ):
        there = request.slot_valid if given.shape[1] == TOY_SLOTS else request.cand_valid
        assert torch.allclose(given[there], other[there], atol=1e-6)


def test_guided_generator_ignores_padded_candidates():
    net, request = small_generator("guided"), random_request(batch=3, candidates=6, ragged=False)
    more = torch.full((3, 2, 4), 7, dtype=torch.int32)
    wider = request._replace(
        candidates=torch.cat([request.candidates, more], dim=1),
        cand_valid=torch.cat([request.cand_valid, torch.zeros(3, 2, dtype=torch.bool)], dim=1),
    )
    lists = input_lists(request)

    slots, items = logits(net, request, lists, 0)
    wide_slots, wide_items = logits(net, wider, lists, 0)

    assert torch.allclose(slots, wide_slots, atol=1e-6)
    assert torch.allclose(items, wide_items[:, :6], atol=1e-6)


def test_guided_generator_training_raises_evaluator_reward():
    torch.manual_seed(0)
    config = EvaluatorConfig(kind="pair", hidden=8, members=2, factor_width=4)
    evaluator = build_evaluator(config, TOY_FIELDS, TOY_SLOTS).requires_grad_(False).eval()
    assert isinstance(evaluator, PairEvaluator)
    with torch.no_grad():  # likes and dislikes, alone and side by side
        evaluator.bias_embedding.weight.mul_(100.0)
        assert evaluator.interactions is not None
        similarities = slice(2 * evaluator.interactions.messages, None)
        evaluator.interactions.pair_residuals[:, similarities].normal_()
    net = build_generator(
        GeneratorConfig(hidden=16, heads=2, starts_from_relevance_order=False),
        config,
        TOY_FIELDS,
        TOY_SLOTS,
    )
    training = GeneratorTrainingConfig(cru_loss="expected")
    objective = NeighborLoss(training, 1.0, torch.Generator().manual_seed(1))
    scorer = EvaluatorScorer(
        evaluator, random_request(batch=64, candidates=7, ragged=False), RewardWeights()
    )
    lists = input_lists(scorer.request)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for step in range(150):
        learned = objective(net, scorer, lists, step / 150)
        optimizer.zero_grad()
        (learned.item_loss + learned.slot_loss).mean().backward()
        optimizer.step()

    once = generate_lists(net, scorer, EditingOptions(edits=1))

    given = scorer(lists.unsqueeze(1)).squeeze(1)
    every = scorer(all_neighbors(lists, 7, scorer.request.slot_valid).flatten(1, 2))
    best = every.max(dim=1).values - given
    assert (scorer(once).squeeze(1) - given).mean() > 0.8 * best.mean()


def test_generator_config_with_wrong_size_raises():
    with pytest.raises(ValueError, match=r"head_width\n.*greater than or equal to 1"):
        dataclasses.replace(GeneratorConfig(), head_width=0)
