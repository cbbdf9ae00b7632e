"""Search baselines, compared with each other on spaces that the test enumerates."""

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
    evaluator = trained_evaluator()
    return {
        "random": RandomSearch(evaluator),
        "hill": HillClimbSearch(evaluator),
        "beam": BeamSearch(evaluator, beam_width=4),
        "exact": ExactSearch(evaluator),
    }


def rewards(request: RequestTensors, lists: torch.Tensor) -> torch.Tensor:
    return trained_evaluator().mean_rewards(request, lists)


def best_by_enumeration(request: RequestTensors) -> torch.Tensor:
    """(B,) best reward of any list, scored one request at a time."""
    best = []
    for row in range(len(request.user)):
        request_row = RequestTensors(*(part[row : row + 1] for part in request))
        indices = [
            i for i in range(request_row.cand_valid.shape[1]) if request_row.cand_valid[0, i]
        ]
        slots, m = int(request_row.slot_valid.sum()), request_row.slot_valid.shape[1]
        lists = [[*chosen, *[0] * (m - slots)] for chosen in permutations(indices, slots)]
        best.append(rewards(request_row, torch.tensor([lists])).max())
    return torch.stack(best)


@pytest.mark.parametrize("name", ["random", "hill", "beam", "exact"])
@pytest.mark.parametrize("num_lists", [1, 7])
def test_search_proposes_valid_lists_best_first(name: str, num_lists: int):
    request = make_request(7, seed=1)

    lists = searches()[name].propose(request, num_lists, rng())

    require_valid_lists(lists, request, num_lists)
    list_rewards = rewards(request, lists)
    assert bool((list_rewards[:, :-1] >= list_rewards[:, 1:] - 1e-6).all())


def test_exact_search_ragged_requests_finds_best_list():
    request = make_request(7, seed=1)
    best = rewards(request, searches()["exact"].propose(request, 1, rng()))[:, 0]
    assert torch.allclose(best, best_by_enumeration(request), atol=1e-5)


def test_exact_search_space_above_limit_raises():
    request = make_request(3, seed=1, ragged=False)  # 6 * 5 * 4 = 120 lists
    with pytest.raises(ListSpaceTooLarge, match="120 lists, 119 at most"):
        ExactSearch(trained_evaluator(), max_lists=119).propose(request, 1, rng())
    assert ExactSearch(trained_evaluator(), max_lists=120).propose(request, 1, rng()).shape == (
        3,
        1,
        3,
    )


def test_beam_search_width_of_space_is_exact():
    request = make_request(7, seed=2)
    beam = BeamSearch(trained_evaluator(), beam_width=120).propose(request, 1, rng())[:, 0]
    assert torch.allclose(
        rewards(request, beam.unsqueeze(1))[:, 0], best_by_enumeration(request), atol=1e-5
    )


def test_hill_climb_search_more_climbs_never_worse():
    request = make_request(7, seed=3)
    input_rewards = rewards(request, input_list(request).unsqueeze(1))[:, 0]
    single, many = (searches()["hill"].propose(request, k, rng()) for k in (1, 6))

    assert bool((rewards(request, single)[:, 0] >= input_rewards).all())
    assert bool((rewards(request, many)[:, 0] >= rewards(request, single)[:, 0] - 1e-6).all())


def test_random_search_more_lists_raise_best_reward():
    request = make_request(60, seed=4)
    few, many = (searches()["random"].propose(request, k, rng()) for k in (1, 24))
    assert rewards(request, many)[:, 0].mean() > rewards(request, few)[:, 0].mean() + 0.1


@pytest.mark.parametrize("name", ["hill", "beam", "exact"])
def test_search_batch_permuted_permutes_lists(name: str):
    request = make_request(7, seed=5)
    order = torch.randperm(7, generator=rng(2))
    lists = searches()[name].propose(request, 1, rng())
    permuted = searches()[name].propose(
        RequestTensors(*(part[order] for part in request)), 1, rng(9)
    )
    assert torch.equal(permuted, lists[order])
