"""Searches by the evaluator, held against each other on spaces that can be enumerated by hand."""

from itertools import permutations

import pytest
import torch

from model.baselines.ranker import Ranker
from model.baselines.search_baselines import (
    BeamSearch,
    ExactSearch,
    HillClimbSearch,
    ListSpaceTooLarge,
    RandomSearch,
)
from model.nets.request_tensors import RequestTensors, input_list
from tests.model.baselines.brand_click_data import (
    make_request,
    require_valid_lists,
    trained_evaluator,
)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def searches() -> dict[str, Ranker]:
    judge = trained_evaluator()
    return {
        "random": RandomSearch(judge),
        "hill": HillClimbSearch(judge),
        "beam": BeamSearch(judge, beam_width=4),
        "exact": ExactSearch(judge),
    }


def rewards(request: RequestTensors, lists: torch.Tensor) -> torch.Tensor:
    return trained_evaluator().mean_rewards(request, lists)


def best_by_enumeration(request: RequestTensors) -> torch.Tensor:
    """(B,) best reward of any list, asked one request and one list at a time."""
    best = []
    for row in range(len(request.user)):
        one = RequestTensors(*(part[row : row + 1] for part in request))
        places = [at for at in range(one.cand_valid.shape[1]) if one.cand_valid[0, at]]
        slots, m = int(one.slot_valid.sum()), one.slot_valid.shape[1]
        every = [[*held, *[0] * (m - slots)] for held in permutations(places, slots)]
        best.append(rewards(one, torch.tensor([every])).max())
    return torch.stack(best)


@pytest.mark.parametrize("name", ["random", "hill", "beam", "exact"])
@pytest.mark.parametrize("num_lists", [1, 7])
def test_a_search_proposes_valid_lists_best_first(name: str, num_lists: int):
    request = make_request(7, seed=1)

    lists = searches()[name].propose(request, num_lists, rng())

    require_valid_lists(lists, request, num_lists)
    own = rewards(request, lists)
    assert bool((own[:, :-1] >= own[:, 1:] - 1e-6).all())


def test_the_exact_search_finds_the_best_list_also_of_shorter_requests():
    request = make_request(7, seed=1)
    found = rewards(request, searches()["exact"].propose(request, 1, rng()))[:, 0]
    assert torch.allclose(found, best_by_enumeration(request), atol=1e-5)


def test_a_space_beyond_the_limit_is_refused_by_its_size():
    request = make_request(3, seed=1, ragged=False)  # 6 * 5 * 4 = 120 lists
    with pytest.raises(ListSpaceTooLarge, match="120 lists, 119 at most"):
        ExactSearch(trained_evaluator(), max_lists=119).propose(request, 1, rng())
    assert ExactSearch(trained_evaluator(), max_lists=120).propose(request, 1, rng()).shape == (
        3,
        1,
        3,
    )


def test_a_beam_as_wide_as_the_space_is_exact():
    request = make_request(7, seed=2)
    beam = BeamSearch(trained_evaluator(), beam_width=120).propose(request, 1, rng())[:, 0]
    assert torch.allclose(
        rewards(request, beam.unsqueeze(1))[:, 0], best_by_enumeration(request), atol=1e-5
    )


def test_a_climb_is_no_worse_than_the_input_list_and_more_climbs_are_no_worse_than_fewer():
    request = make_request(7, seed=3)
    given = rewards(request, input_list(request).unsqueeze(1))[:, 0]
    one, many = (searches()["hill"].propose(request, k, rng()) for k in (1, 6))

    assert bool((rewards(request, one)[:, 0] >= given).all())
    assert bool((rewards(request, many)[:, 0] >= rewards(request, one)[:, 0] - 1e-6).all())


def test_more_random_lists_have_a_better_best():
    request = make_request(60, seed=4)
    few, many = (searches()["random"].propose(request, k, rng()) for k in (1, 24))
    assert rewards(request, many)[:, 0].mean() > rewards(request, few)[:, 0].mean() + 0.1


@pytest.mark.parametrize("name", ["hill", "beam", "exact"])
def test_requests_in_another_order_get_the_same_lists_in_that_order(name: str):
    request = make_request(7, seed=5)
    order = torch.randperm(7, generator=rng(2))
    straight = searches()[name].propose(request, 1, rng())
    turned = searches()[name].propose(RequestTensors(*(part[order] for part in request)), 1, rng(9))
    assert torch.equal(turned, straight[order])
