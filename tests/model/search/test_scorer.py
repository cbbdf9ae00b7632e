"""Refining lists in training and reports, by the same steps as the service."""

import numpy as np
import pytest
import torch

from model.config.pipeline_config import EvaluatorConfig
from model.contract.scoring.objective import RewardWeights, select_lists
from model.nets.build import build_evaluator
from model.nets.request_tensors import input_list
from model.search import scorer as scorer_module
from model.search.neighbors import all_neighbors
from model.search.proposals import ProposedLists, append_refined_list, served_list_gain
from model.search.scorer import EvaluatorScorer, hill_climb_with_restarts, refine_lists
from tests.model.nets.evaluators.test_pair_evaluator import pair_evaluator
from tests.random_requests import TOY_FIELDS, TOY_SLOTS, random_request

WEIGHTS = RewardWeights(click=1.0, conversion=0.5, value=0.2, discount=1.0)


def make_scorer(*, ragged: bool = True) -> EvaluatorScorer:
    request = random_request(ragged=ragged)  # if ragged, rows lack slots and candidates
    values = torch.rand(request.cand_valid.shape, generator=torch.Generator().manual_seed(1))
    return EvaluatorScorer(pair_evaluator(members=2), request, WEIGHTS, values)


def test_refine_lists_matches_explicit_hill_climb():
    judge = make_scorer()
    start = input_list(judge.request)
    rng = torch.Generator().manual_seed(0)
    moved = 0

    for rounds in (1, 2, 30):
        expected, _ = hill_climb_with_restarts(judge, start, restarts=1, max_rounds=rounds, rng=rng)
        got = refine_lists(judge, start, rounds)
        assert torch.equal(got, expected)
        moved += int((got != start).any(dim=1).sum())
    assert moved > 6


def test_append_refined_list_never_lowers_selected_reward():
    judge = make_scorer(ragged=False)
    given = input_list(judge.request)
    lists = torch.stack([given.roll(1, 1), given.flip(1), given], dim=1)
    before = ProposedLists(lists, judge.member_rewards(lists))

    after = append_refined_list(before, judge, 1.0, 4)

    assert torch.equal(after.lists[:, [0, 1, 3]], before.lists)
    assert torch.equal(after.rewards[..., [0, 1, 3]], before.rewards)
    assert torch.allclose(after.rewards, judge.member_rewards(after.lists))
    start = lists[torch.arange(3), torch.from_numpy(select_lists(before.rewards.numpy(), 1.0))]
    assert torch.equal(after.lists[:, 2], refine_lists(judge, start, 4))
    assert (served_list_gain(after, 0.0) >= served_list_gain(before, 0.0)).all()
    assert (served_list_gain(after, 0.0) > served_list_gain(before, 0.0)).any()
    assert append_refined_list(before, judge, 1.0, 0) is before
    assert np.isfinite(after.rewards.numpy()).all()


def test_refine_lists_with_other_evaluator_raises():
    request = random_request()
    net = build_evaluator(EvaluatorConfig(kind="context", hidden=8), TOY_FIELDS, TOY_SLOTS).eval()

    with pytest.raises(TypeError, match="neighbors of ContextEvaluator"):
        refine_lists(EvaluatorScorer(net, request, WEIGHTS), input_list(request), 1)


def test_neighbor_rewards_match_scoring_each_list(
    monkeypatch: pytest.MonkeyPatch,
):
    judge = make_scorer()  # rows lack slots and candidates
    judge.objective = RewardWeights(click=0.5, conversion=3.0, value=0.2, discount=1.0)
    request = judge.request
    lists = input_list(request)
    n = request.cand_valid.shape[1]

    written = judge(all_neighbors(lists, n, request.slot_valid).flatten(1, 2)).unflatten(
        1, (TOY_SLOTS, n)
    )
    at_once = judge.neighbor_rewards(lists)
    monkeypatch.setattr(scorer_module, "_LOGIT_CHUNK_SIZE", 1)  # each request a piece of its own
    in_pieces = judge.neighbor_rewards(lists)

    there = request.slot_valid.unsqueeze(-1) & request.cand_valid.unsqueeze(1)
    assert at_once is not None
    assert in_pieces is not None
    assert torch.allclose(at_once[there], written[there], atol=1e-5)
    assert torch.allclose(in_pieces[there], written[there], atol=1e-5)
    own = torch.arange(TOY_SLOTS)
    assert torch.allclose(at_once[0, own, lists[0]], judge(lists.unsqueeze(1))[0])  # no change


def test_neighbor_rewards_of_other_evaluators_are_none():
    request = random_request()
    net = build_evaluator(EvaluatorConfig(kind="context", hidden=8), TOY_FIELDS, TOY_SLOTS).eval()

    assert EvaluatorScorer(net, request, WEIGHTS).neighbor_rewards(input_list(request)) is None
