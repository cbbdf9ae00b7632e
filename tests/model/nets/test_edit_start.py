from pathlib import Path

import pytest
import torch

from model.config import GeneratorTraining
from model.nets.edit_start import EditStart, first_lists, in_order, ruled_out
from model.nets.rule_counts import Counts, Rules
from model.train_generator.states import training_states
from tests.model.train_generator.test_steps import task_of
from tests.requests import SLOTS, encoded, first_candidates, random_request, small_generator

YES, NO = True, False


def test_free_slots_take_the_best_candidates_in_turn_and_pinned_items_stay():
    request = random_request(batch=2, candidates=6, ragged=False)
    editable = torch.tensor([[YES, YES, YES, YES], [YES, NO, YES, YES]])
    start = EditStart(first_candidates(request), editable, torch.empty(0), torch.empty(0))
    order = torch.tensor([[1.0, 6.0, 2.0, 5.0, 3.0, 4.0], [1.0, 6.0, 2.0, 5.0, 3.0, 4.0]])

    lists = first_lists(order, request, start, ruled_out(request, start))

    assert lists.tolist() == [[1, 3, 5, 4], [3, 1, 5, 4]]  # in row 1 candidate 1 is where it was


def test_slots_and_candidates_that_are_not_there_are_left_out():
    request = random_request(batch=3, candidates=7)  # row b has b fewer of both
    start = EditStart(
        first_candidates(request), torch.ones(3, SLOTS).bool(), torch.empty(0), torch.empty(0)
    )
    order = torch.arange(7.0).expand(3, 7)  # the last of each row is its best

    lists = first_lists(order, request, start, ruled_out(request, start))

    assert lists.tolist() == [[6, 5, 4, 3], [5, 4, 3, 0], [4, 3, 0, 0]]


def test_a_list_may_have_more_slots_than_there_are_candidates():
    given, free = torch.zeros(2, 4).long(), torch.tensor([[YES, YES, NO, NO], [YES, NO, NO, NO]])

    assert in_order(torch.tensor([[0.5, 0.7], [0.9, 0.1]]), given, free).tolist() == [
        [1, 0, 0, 0],
        [0, 0, 0, 0],
    ]


def test_where_the_own_order_breaks_a_rule_editing_begins_at_the_given_list():
    request = random_request(batch=2, candidates=6, ragged=False)
    start = EditStart(
        first_candidates(request), torch.ones(2, SLOTS).bool(), torch.empty(0), torch.empty(0)
    )
    order = torch.arange(6.0).expand(2, 6)  # 5, 4, 3, 2
    member = torch.zeros(2, 1, 6, dtype=torch.bool)
    member[:, 0, 4:] = True
    at_most = torch.tensor([[2.0], [1.0]])  # both of 4 and 5, or one of them
    rules = Rules(member, torch.ones(2, 1, SLOTS).bool(), torch.zeros(2, 1), at_most)

    lists = first_lists(order, request, start, ruled_out(request, start), Counts.of(rules, request))

    assert lists.tolist() == [[5, 4, 3, 2], [0, 1, 2, 3]]


def test_without_an_order_editing_begins_at_the_given_list():
    request = random_request(batch=3)
    start = EditStart(first_candidates(request), request.slot_valid, torch.empty(0), torch.empty(0))

    lists = first_lists(None, request, start, ruled_out(request, start))

    assert torch.equal(lists, first_candidates(request))


def test_the_guided_generator_begins_in_the_order_of_the_members_mean_relevance():
    request = random_request(batch=2, ragged=False)
    known = encoded(request)

    state = small_generator("guided", by_relevance=True).encode(request, known)

    assert known.candidates.shape[0] > 1
    expected = torch.stack([member[..., 0] for member in known.candidates]).mean(dim=0)
    assert state.order is not None
    assert torch.allclose(state.order, expected)
    assert small_generator("guided").encode(request, known).order is None
    assert small_generator("nlgr").encode(request, known).order is None


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_training_begins_where_serving_does_and_a_share_at_the_input_list(
    tmp_path: Path, share: float
):
    task = task_of(tmp_path)
    scorer = task.scorer(task.train_rows())
    training = GeneratorTraining(edited_share=0.0, input_share=share)
    turns = torch.zeros(4, scorer.request.slot_valid.shape[1])

    lists = training_states(task.net, scorer, training, turns, torch.Generator().manual_seed(0))

    given = first_candidates(scorer.request)
    order = task.net.encode(scorer.request, scorer.encoded).order
    assert order is not None
    own = in_order(
        order.masked_fill(~scorer.request.cand_valid, -1e9), given, scorer.request.slot_valid
    )
    from_input, from_own = (lists == given).all(dim=1), (lists == own).all(dim=1)
    assert (from_input | from_own).all()
    different = (given != own).any(dim=1)
    assert different.float().mean() > 0.5
    assert from_input[different].float().mean() == pytest.approx(share, abs=0.2)
