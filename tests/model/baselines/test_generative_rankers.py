"""What is particular to a generator: its decoding, what it learns from, what teaches it."""

import pytest
import torch

from model.baselines.frozen_evaluator import FrozenEvaluator
from model.baselines.grn import Grn
from model.baselines.nar4rec import Nar4Rec
from model.baselines.pier import Pier
from model.baselines.unirank import UniRank
from model.contract.scoring.objective import RewardWeights
from model.nets.request_tensors import RequestTensors
from tests.model.baselines.brand_click_data import (
    DIMENSIONS,
    WANTED_BRAND,
    make_batch,
    make_request,
    trained_evaluator,
    wanted_candidates,
)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_what_a_slot_is_worth_is_what_the_list_loses_without_it():
    judge, request = trained_evaluator(), make_request(5, seed=3)
    lists = make_batch(5, seed=3).shown

    marginal = judge.marginal_rewards(request, lists)

    whole = judge.mean_rewards(request, lists.unsqueeze(1)).squeeze(1)
    for slot in range(lists.shape[1]):
        valid = request.slot_valid.clone()
        valid[:, slot] = False
        without = judge.mean_rewards(
            request._replace(slot_valid=valid), lists.unsqueeze(1)
        ).squeeze(1)
        expected = (whole - without) * request.slot_valid[:, slot]
        assert torch.allclose(marginal[:, slot], expected, atol=1e-5)


def test_a_judge_refuses_an_objective_that_it_cannot_see():
    with pytest.raises(ValueError, match="value"):
        FrozenEvaluator(trained_evaluator().evaluator, RewardWeights(value=1.0))


def test_grn_keeps_the_epoch_whose_own_lists_are_worth_most():
    net = Grn(DIMENSIONS, trained_evaluator()).eval()
    batch = make_batch(6, seed=5)

    loss = net.validation_loss(batch, rng())

    answer = net.propose(batch.request, 1, rng())
    assert loss.item() == pytest.approx(
        -trained_evaluator().mean_rewards(batch.request, answer).mean().item()
    )
    assert not any(name.startswith("judge") for name in net.state_dict())


def test_nar4rec_makes_good_lists_likelier_and_poor_lists_less_likely():
    net, batch = Nar4Rec(DIMENSIONS).eval(), make_batch(40, seed=5)
    count = batch.request.slot_valid.sum(dim=1)
    share = batch.clicks.sum(dim=1) / count
    good = share > batch.clicks.sum() / count.sum()
    logits = net.slot_logits(batch.request)[0].detach()
    p = torch.softmax(logits.masked_fill(~batch.request.cand_valid[:, None], -1e9), dim=-1)
    of_list = p.gather(2, batch.shown.unsqueeze(-1)).squeeze(-1)
    total = 0.0
    for row in range(40):
        for slot in range(int(count[row])):
            own = of_list[row, slot]
            total -= float(torch.log(own) if good[row] else torch.log(1 - own))

    assert 0 < int(good.sum()) < 40
    assert net.loss(batch, rng()).item() == pytest.approx(total / 40, rel=1e-4)


def test_nar4rec_avoids_an_item_like_one_already_chosen():
    request = make_request(6, seed=4, ragged=False)
    twins = request.candidates.clone()
    twins[:, 1] = twins[:, 0]  # the first two candidates are the same to the net
    request = request._replace(candidates=twins)
    net = Nar4Rec(DIMENSIONS).eval()
    net.tokens.embedding.weight.data.mul_(20)  # fresh embeddings are all alike

    def with_both(apart: float) -> int:
        net.similarity_penalty = apart
        lists = net.propose(request, 16, rng())
        return int(((lists == 0).any(dim=-1) & (lists == 1).any(dim=-1)).sum())

    assert with_both(0.0) > 20
    assert with_both(0.95) == 0


def test_unirank_fills_the_surest_pair_first():
    net, request = UniRank(DIMENSIONS).eval(), make_request(4, seed=6)
    with torch.no_grad():
        pool = net.candidate_attention(net.tokens(request), request.cand_valid)
        open_lists = torch.zeros((4, 1, DIMENSIONS.max_slots), dtype=torch.int64)
        logits = net.slot_logits(pool, request, open_lists, torch.zeros_like(open_lists).bool())[
            :, 0
        ]
    p = torch.softmax(logits.masked_fill(~request.cand_valid[:, None], -1e9), dim=-1)

    lists = net.propose(request, 1, rng())[:, 0]

    for row in range(4):
        there = p[row, request.slot_valid[row]]  # (slots, N)
        slot, item = divmod(int(there.argmax()), there.shape[1])
        assert int(lists[row, slot]) == item


def test_unirank_does_not_look_at_what_stands_in_open_slots():
    net, batch = UniRank(DIMENSIONS).eval(), make_batch(5, seed=6)
    pool = net.candidate_attention(net.tokens(batch.request), batch.request.cand_valid)
    none = torch.zeros((5, 1, DIMENSIONS.max_slots), dtype=torch.bool)
    one = net.slot_logits(pool, batch.request, batch.shown.unsqueeze(1), none)
    other = net.slot_logits(pool, batch.request, torch.zeros_like(batch.shown).unsqueeze(1), none)
    assert torch.equal(one, other)


def test_the_hash_of_pier_keeps_lists_of_what_the_user_clicked():
    net = Pier(DIMENSIONS, num_sampled=200, num_kept=1, hash_bits=512).eval()
    request = clicked_only_the_wanted_brand(make_request(60, seed=9, ragged=False))

    kept = net.propose(request, 1, rng())[:, 0]

    own = wanted_candidates(request)
    assert float(own.gather(1, kept).float().mean()) > 1.3 * float(own.float().mean())


def clicked_only_the_wanted_brand(request: RequestTensors) -> RequestTensors:
    from_brand = request.sessions.clone()
    from_brand[..., 1] = WANTED_BRAND
    from_brand[..., 2] = DIMENSIONS.clicked_row
    return request._replace(sessions=from_brand)


def test_without_past_clicks_pier_judges_the_first_of_its_draw():
    request = make_request(6, seed=9, ragged=False)
    never = request.sessions.clone()
    never[..., 2] = DIMENSIONS.clicked_row - 1
    net = Pier(DIMENSIONS, num_sampled=50, num_kept=1).eval()

    lists = net.propose(request._replace(sessions=never), 1, rng())[:, 0]

    assert torch.equal(
        lists, torch.arange(DIMENSIONS.max_slots).expand(6, -1)
    )  # the input list opens it
