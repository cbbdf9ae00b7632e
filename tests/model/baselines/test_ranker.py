"""What holds for every learned method: it learns the known answer, and only proposes real lists."""

from collections.abc import Callable

import pytest
import torch

from model.baselines.dlcm import Dlcm
from model.baselines.grn import Grn
from model.baselines.mir import Mir
from model.baselines.nar4rec import Nar4Rec
from model.baselines.pier import Pier
from model.baselines.pointwise import Pointwise
from model.baselines.prm import Prm
from model.baselines.ranker import LearnedRanker
from model.baselines.seq2slate import Seq2Slate
from model.baselines.setrank import SetRank
from model.baselines.unirank import UniRank
from model.nets.request_tensors import RequestTensors
from tests.model.baselines.brand_click_data import (
    DIMENSIONS,
    make_batch,
    make_request,
    padded_and_unpadded,
    require_valid_lists,
    train_briefly,
    trained_evaluator,
    wanted_hit_rate,
)

METHODS: dict[str, Callable[[], LearnedRanker]] = {
    "pointwise": lambda: Pointwise(DIMENSIONS),
    "prm": lambda: Prm(DIMENSIONS, num_blocks=1),
    "dlcm": lambda: Dlcm(DIMENSIONS),
    "setrank": lambda: SetRank(DIMENSIONS, num_blocks=1, num_points=4),
    "mir": lambda: Mir(DIMENSIONS),
    "nar4rec": lambda: Nar4Rec(DIMENSIONS),
    "seq2slate": lambda: Seq2Slate(DIMENSIONS),
    "unirank": lambda: UniRank(DIMENSIONS),
    "pier": lambda: Pier(DIMENSIONS, num_sampled=200, num_kept=100),
    "grn": lambda: Grn(DIMENSIONS, trained_evaluator()),
}


@pytest.fixture(scope="module", params=METHODS)
def untrained(request: pytest.FixtureRequest) -> LearnedRanker:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return METHODS[request.param]().eval()


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_after_a_short_training_the_clicked_brand_comes_first(name: str):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = METHODS[name]()
    before = wanted_hit_rate(net.eval())

    train_briefly(net)

    assert before < 0.85  # by chance about half
    assert wanted_hit_rate(net) > 0.95


def test_lists_hold_valid_candidates_once_and_nothing_beyond_their_slots(untrained: LearnedRanker):
    request = make_request(9, seed=1)

    require_valid_lists(untrained.propose(request, 6, rng()), request, 6)


def test_list_0_does_not_depend_on_noise_or_on_how_many_lists_there_are(untrained: LearnedRanker):
    request = make_request(9, seed=1)

    few, many = untrained.propose(request, 1, rng(1)), untrained.propose(request, 8, rng(2))

    assert torch.equal(few[:, 0], many[:, 0])
    assert any(not torch.equal(many[:, 0], many[:, k]) for k in range(1, 8))


def test_requests_in_another_order_get_the_same_lists_in_that_order(untrained: LearnedRanker):
    request = make_request(9, seed=1)
    order = torch.randperm(9, generator=rng(4))
    permuted = RequestTensors(*(part[order] for part in request))

    straight = untrained.propose(request, 1, rng())
    turned = untrained.propose(permuted, 1, rng())

    assert torch.equal(turned, straight[order])


def test_what_stands_in_padding_changes_nothing(untrained: LearnedRanker):
    request = make_request(9, seed=1)
    noisy = request.candidates.clone()
    noisy[~request.cand_valid] = 17
    sessions = request.sessions.clone()
    sessions[~request.sess_valid] = 17

    clean = untrained.propose(request, 1, rng())
    dirty = untrained.propose(request._replace(candidates=noisy, sessions=sessions), 1, rng())

    assert torch.equal(clean, dirty)


def test_a_request_among_larger_ones_gets_the_list_that_it_gets_alone(untrained: LearnedRanker):
    padded, alone = padded_and_unpadded()

    among = untrained.propose(padded, 1, rng())

    assert torch.equal(untrained.propose(alone, 1, rng()), among)


def test_the_loss_teaches_every_weight_and_no_padding(untrained: LearnedRanker):
    batch = make_batch(32, seed=3)
    untrained.zero_grad()

    untrained.loss(batch, rng()).backward()

    for name, weight in untrained.named_parameters():
        assert weight.grad is not None, name
        assert bool(weight.grad.isfinite().all()), name
        if name.endswith("embedding.weight"):
            assert bool((weight.grad[0] == 0).all()), name
