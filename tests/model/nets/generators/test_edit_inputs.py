from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.config.pipeline_config import GeneratorTrainingConfig
from model.nets.generators.edit_inputs import (
    EditInputs,
    candidate_penalty,
    fill_by_score,
    initial_lists,
)
from model.nets.request_tensors import RequestTensors
from model.nets.rule_counts import RuleCounts, RuleTensors
from model.training.generator.training_lists import sample_training_lists
from tests.model.training.generator.test_generator_task import task_of
from tests.random_requests import (
    TOY_SLOTS,
    encoded_request,
    input_lists,
    random_request,
    small_generator,
)

YES, NO = True, False


def begun(
    request: RequestTensors,
    order: Tensor | None,
    editable: Tensor | None = None,
    rules: RuleTensors | None = None,
) -> list[list[int]]:
    free = torch.ones_like(request.slot_valid) if editable is None else editable
    none = torch.empty(0)
    start = EditInputs(input_lists(request), free, none, none, order)
    counts = None if rules is None else RuleCounts.from_rules(rules, request)
    return initial_lists(request, start, candidate_penalty(request, start), counts).tolist()


def test_fill_by_score_keeps_pinned_items():
    request = random_request(batch=2, candidates=6, ragged=False)
    editable = torch.tensor([[YES, YES, YES, YES], [YES, NO, YES, YES]])
    order = torch.tensor([[1.0, 6.0, 2.0, 5.0, 3.0, 4.0], [1.0, 6.0, 2.0, 5.0, 3.0, 4.0]])

    lists = begun(request, order, editable)

    assert lists == [[1, 3, 5, 4], [3, 1, 5, 4]]  # in row 1 candidate 1 is where it was


def test_fill_by_score_ignores_padding():
    request = random_request(batch=3, candidates=7)  # row b has b fewer of both
    order = torch.arange(7.0).expand(3, 7)  # the last of each row is its best

    assert begun(request, order) == [[6, 5, 4, 3], [5, 4, 3, 0], [4, 3, 0, 0]]


def test_fill_by_score_with_few_candidates_works():
    given, free = torch.zeros(2, 4).long(), torch.tensor([[YES, YES, NO, NO], [YES, NO, NO, NO]])

    assert fill_by_score(torch.tensor([[0.5, 0.7], [0.9, 0.1]]), given, free).tolist() == [
        [1, 0, 0, 0],
        [0, 0, 0, 0],
    ]


def test_fill_by_score_breaks_ties_by_index():
    request = random_request(batch=2, candidates=40, ragged=False)
    order = torch.zeros(2, 40)
    order[1, 30:] = 1.0

    assert begun(request, order) == [[0, 1, 2, 3], [30, 31, 32, 33]]


def test_initial_lists_breaking_rule_use_input_list():
    request = random_request(batch=2, candidates=6, ragged=False)
    order = torch.arange(6.0).expand(2, 6)  # 5, 4, 3, 2
    member = torch.zeros(2, 1, 6, dtype=torch.bool)
    member[:, 0, 4:] = True
    at_most = torch.tensor([[2.0], [1.0]])  # both of 4 and 5, or one of them
    rules = RuleTensors(member, torch.ones(2, 1, TOY_SLOTS).bool(), torch.zeros(2, 1), at_most)

    assert begun(request, order, rules=rules) == [[5, 4, 3, 2], [0, 1, 2, 3]]


def test_initial_lists_without_scores_use_input_list():
    request = random_request(batch=3)

    assert begun(request, None) == input_lists(request).tolist()


def test_relevance_scores_rank_by_single_item_reward():
    request = random_request(batch=2, ragged=False)
    known = encoded_request(request)
    net = small_generator("guided", starts_from_relevance_order=True)
    click, sale = torch.tensor([[2.0], [0.0]]), torch.rand(2, 7)  # row 1 counts sales alone

    order = net.relevance_scores(known, click, sale)

    members = known.candidates
    assert len(members) > 1
    p_click, p_sale = (
        torch.sigmoid(sum(m[..., i] for m in members) / len(members)) for i in (0, 1)
    )
    assert order is not None
    assert torch.allclose(order[0], p_click[0] * (2.0 + p_sale[0] * sale[0]))
    assert torch.allclose(order[1], p_click[1] * p_sale[1] * sale[1])
    assert small_generator("guided").relevance_scores(known, click, sale) is None
    assert small_generator("nlgr").relevance_scores(known, click, sale) is None


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_sample_training_lists_mixes_serving_and_input_starts(tmp_path: Path, share: float):
    task = task_of(tmp_path)
    scorer = task.scorer_for_rows(task.train_rows())
    training = GeneratorTrainingConfig(edited_share=0.0, input_list_share=share)
    turns = torch.zeros(4, scorer.request.slot_valid.shape[1])

    lists = sample_training_lists(
        task.net, scorer, training, turns, torch.Generator().manual_seed(0)
    )

    given = input_lists(scorer.request)
    counts = scorer.reward_weight_tensors(relative=True)
    order = task.net.relevance_scores(
        scorer.encoded_request, counts.click_weight, counts.conversion_weight
    )
    assert order is not None
    there = scorer.request.cand_valid
    own = fill_by_score(order.masked_fill(~there, -1e9), given, scorer.request.slot_valid)
    from_input, from_own = (lists == given).all(dim=1), (lists == own).all(dim=1)
    assert (from_input | from_own).all()
    different = (given != own).any(dim=1)
    assert different.float().mean() > 0.5
    assert from_input[different].float().mean() == pytest.approx(share, abs=0.2)
