"""All neighbors at once are worth what the evaluator says of each when it is asked alone."""

import dataclasses

import pytest
import torch
from torch import Tensor

from model.nets.blocks.layers import gather_lists
from model.nets.evaluators.pair_evaluator import PairEvaluator
from model.nets.local_search.best_neighbor_step import (
    MIN_GAIN,
    HillClimbState,
    hill_climb_step,
    rule_violations,
)
from model.nets.local_search.neighbor_rewards import (
    RewardWeightTensors,
    one_hot_list,
    score_neighborhood,
)
from model.nets.request_tensors import RequestTensors
from model.nets.rule_counts import RuleTensors
from model.search.neighbors import all_neighbors
from tests.model.nets.evaluators.test_pair_evaluator import pair_evaluator
from tests.random_requests import TOY_FIELDS, TOY_SLOTS, input_lists, random_request

SAME = 1e-5  # the same float32 sums in another order
# Sessions keep one field more, so items are alike in two of them.
WIDE = dataclasses.replace(TOY_FIELDS, session=((0, 1), (1, 2), (3, 1), (4, 1), (5, 1)))


def some_lists(request: RequestTensors) -> Tensor:
    """(B, M) lists of valid candidates, none in upstream order; 0 in slots that are not there."""
    rng = torch.Generator().manual_seed(4)
    draw = torch.rand(request.cand_valid.shape, generator=rng).masked_fill(~request.cand_valid, -1)
    return draw.argsort(dim=1, descending=True)[:, :TOY_SLOTS].masked_fill(~request.slot_valid, 0)


def some_worth(request: RequestTensors) -> RewardWeightTensors:
    """Slots, clicks and conversions that count differently in every row."""
    rng = torch.Generator().manual_seed(5)
    slot = torch.rand(request.slot_valid.shape, generator=rng) + 0.1
    click = torch.tensor([[1.0], [0.5], [0.0]])[: len(slot)]
    return RewardWeightTensors(
        slot * request.slot_valid, click, torch.rand(request.cand_valid.shape, generator=rng)
    )


def one_by_one(
    net: PairEvaluator, request: RequestTensors, lists: Tensor, worth: RewardWeightTensors
) -> Tensor:
    """(B, L) mean reward of lists (B, L, M), each scored by the evaluator itself."""
    known = net.encode(request)
    p, p_conversion = net.score(known, gather_lists(known.candidates, lists), request.slot_valid)
    conversion = worth.conversion_weight.gather(1, lists.flatten(1)).view(lists.shape)
    counts = worth.click_weight.unsqueeze(-1) + p_conversion * conversion
    return (p * counts * worth.slot_weight.unsqueeze(1)).sum(dim=-1).mean(dim=0)


def allowed(request: RequestTensors, lists: Tensor) -> Tensor:
    """(B, M, N): neighbors that are other lists of valid candidates."""
    own = torch.nn.functional.one_hot(lists, request.cand_valid.shape[1]).bool()
    return request.slot_valid.unsqueeze(-1) & request.cand_valid.unsqueeze(1) & ~own


@pytest.mark.parametrize("item_interactions", [True, False])
@pytest.mark.parametrize("fields", [TOY_FIELDS, WIDE], ids=["one likeness", "two"])
def test_score_neighborhood_matches_scoring_each_list(fields, item_interactions):
    net = pair_evaluator(fields, members=3, item_interactions=item_interactions)
    request = random_request()  # rows lack slots and candidates
    if fields is WIDE:
        request = request._replace(
            sessions=torch.cat([request.sessions, request.sessions[..., :1]], dim=-1)
        )
    lists, worth = some_lists(request), some_worth(request)
    n = request.cand_valid.shape[1]

    known = net.encode(request).candidates
    got = score_neighborhood(net, known, one_hot_list(lists, request.slot_valid, n), worth)

    neighbors = all_neighbors(lists, n, request.slot_valid)
    expected = one_by_one(net, request, neighbors.flatten(1, 2), worth).view(got.after_edit.shape)
    there = allowed(request, lists)
    assert expected[there].std() > 0.1  # there was something to compare
    assert torch.allclose(got.after_edit[there], expected[there], atol=SAME)
    now = one_by_one(net, request, lists.unsqueeze(1), worth)
    assert torch.allclose(got.current, now, atol=SAME)


def test_score_neighborhood_is_independent_of_batch():
    net = pair_evaluator(members=3)
    request = random_request()
    lists, worth = some_lists(request), some_worth(request)
    known, here = net.encode(request).candidates, one_hot_list(lists, request.slot_valid, 7)

    together = score_neighborhood(net, known, here, worth)

    for b in range(3):
        row = slice(b, b + 1)
        alone = score_neighborhood(
            net, known[:, row], here[row], RewardWeightTensors(*(w[row] for w in worth))
        )
        assert torch.allclose(alone.after_edit, together.after_edit[row], atol=SAME)


def stand(
    request: RequestTensors, lists: Tensor, editable: Tensor, movable: Tensor
) -> HillClimbState:
    return HillClimbState(lists, request.slot_valid, editable, movable)


def test_hill_climb_step_reaches_local_optimum():
    net, request = pair_evaluator(members=3), random_request()
    worth, known = some_worth(request), net.encode(request).candidates
    at = some_lists(request)
    steps = 0
    for _ in range(20):
        lists = all_neighbors(at, 7, request.slot_valid).flatten(1, 2)
        value = one_by_one(net, request, lists, worth)
        value = value.masked_fill(~allowed(request, at).flatten(1), float("-inf"))
        now = one_by_one(net, request, at.unsqueeze(1), worth).squeeze(1)
        best, place = value.max(dim=1)
        expected = torch.where(
            (best > now + MIN_GAIN).unsqueeze(1), lists[torch.arange(3), place], at
        )

        at = hill_climb_step(
            net, known, stand(request, at, request.slot_valid, request.cand_valid), worth
        )

        assert torch.equal(at, expected)
        steps += int((best > now + MIN_GAIN).sum())
        if (best <= now + MIN_GAIN).all():
            break
    assert steps > 3
    assert (best <= now + MIN_GAIN).all()  # it ends


def test_hill_climb_step_keeps_pins_and_rules():
    net, request = pair_evaluator(members=3), random_request(ragged=False)
    worth, known = some_worth(request), net.encode(request).candidates
    start = input_lists(request)
    editable = torch.tensor([[True, False, True, True]]).expand(3, -1)
    movable = torch.ones(3, 7, dtype=torch.bool)
    movable[:, 1] = False  # it is pinned to slot 1
    # Row 0: at most one of candidates 4, 5, 6; row 1: in the first two slots at least one of
    # 0, 1, 2, which stand there now; row 2: nothing is asked.
    member = torch.zeros(3, 2, 7, dtype=torch.bool)
    slots = torch.ones(3, 2, TOY_SLOTS, dtype=torch.bool)
    minimum, maximum = torch.zeros(3, 2), torch.full((3, 2), 4.0)
    member[0, 0, 4:], maximum[0, 0] = True, 1.0
    member[1, 1, [0, 2]], minimum[1, 1] = True, 1.0
    slots[1, 1, 2:] = False
    rules = RuleTensors(member, slots, minimum, maximum)

    def ruled(at: Tensor) -> Tensor:
        return hill_climb_step(net, known, stand(request, at, editable, movable), worth, rules)

    def count(lists: Tensor) -> Tensor:
        held = member.gather(2, lists.unsqueeze(1).expand(-1, 2, -1)) & slots
        return held.sum(dim=-1)

    at, free = start, start
    for _ in range(10):
        # what a step should find: every neighbor written down, those that break a rule left out
        lists = all_neighbors(at, 7, request.slot_valid).flatten(1, 2)
        ok = allowed(request, at) & editable.unsqueeze(-1) & movable.unsqueeze(1)
        held = torch.stack([count(lists[:, i]) for i in range(lists.shape[1])], dim=1)
        ok = ok.flatten(1) & ((held >= minimum.unsqueeze(1)) & (held <= maximum.unsqueeze(1))).all(
            dim=-1
        )
        value = one_by_one(net, request, lists, worth).masked_fill(~ok, float("-inf"))
        now = one_by_one(net, request, at.unsqueeze(1), worth).squeeze(1)
        best, place = value.max(dim=1)
        expected = torch.where(
            (best > now + MIN_GAIN).unsqueeze(1), lists[torch.arange(3), place], at
        )
        at = ruled(at)
        assert torch.equal(at, expected)
        free = hill_climb_step(
            net, known, stand(request, free, request.slot_valid, request.cand_valid), worth
        )
    assert (at[:, 1] == 1).all()
    assert (count(at) <= maximum).all()
    assert (count(at) >= minimum).all()
    assert (at != start).any(dim=1).all()  # there was something to gain
    assert (count(free) > maximum)[0, 0]  # and without the rule it would have been broken


def test_rule_violations_mark_exactly_breaking_neighbors():
    request = random_request(ragged=False)
    lists, rng = some_lists(request), torch.Generator().manual_seed(6)
    member = torch.rand(3, 2, 7, generator=rng) > 0.5
    slots = torch.rand(3, 2, TOY_SLOTS, generator=rng) > 0.4
    neighbors = all_neighbors(lists, 7, request.slot_valid)  # (B, M, N, M)
    held = (
        member[:, :, None, None]
        .expand(-1, -1, TOY_SLOTS, 7, -1)
        .gather(4, neighbors.unsqueeze(1).expand(-1, 2, -1, -1, -1))
    )
    count = (held & slots[:, :, None, None]).sum(dim=-1)  # (B, R, M, N)
    now = (member.gather(2, lists.unsqueeze(1).expand(-1, 2, -1)) & slots).sum(dim=-1).float()

    got = (
        rule_violations(
            RuleTensors(member, slots, now, now), one_hot_list(lists, request.slot_valid, 7)
        )
        > 0
    )

    expected = (count != now[..., None, None]).any(dim=1)
    assert torch.equal(got, expected)
    swaps = (neighbors != lists[:, None, None]).sum(dim=-1) == 2
    for some in (expected & swaps, expected & ~swaps, ~expected & swaps):
        assert some.any()


def test_hill_climb_step_breaks_ties_by_index():
    net, request = pair_evaluator(members=3), random_request(ragged=False)
    request.candidates[:, 5] = request.candidates[:, 4]
    request.candidates[:, 6] = request.candidates[:, 4]  # three that nothing tells apart
    worth = RewardWeightTensors(torch.ones(3, TOY_SLOTS), torch.ones(3, 1), torch.zeros(3, 7))
    known = net.encode(request).candidates
    taken = 0
    at = input_lists(request)
    for _ in range(6):
        at = hill_climb_step(
            net, known, stand(request, at, request.slot_valid, request.cand_valid), worth
        )
        for row in at.tolist():
            held = sorted(set(row) & {4, 5, 6})
            assert held == [4, 5, 6][: len(held)]
            taken += len(held)
    assert taken > 3
