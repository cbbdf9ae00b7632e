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
from model.nets.inputs import RequestTensors
from tests.model.baselines.brand_problem import (
    SIZE,
    batch_of,
    padded_and_alone,
    request_of,
    require_lists,
    share_of_wanted_shown,
    taught_judge,
    teach,
)

METHODS: dict[str, Callable[[], LearnedRanker]] = {
    "pointwise": lambda: Pointwise(SIZE),
    "prm": lambda: Prm(SIZE, blocks=1),
    "dlcm": lambda: Dlcm(SIZE),
    "setrank": lambda: SetRank(SIZE, blocks=1, points=4),
    "mir": lambda: Mir(SIZE),
    "nar4rec": lambda: Nar4Rec(SIZE),
    "seq2slate": lambda: Seq2Slate(SIZE),
    "unirank": lambda: UniRank(SIZE),
    "pier": lambda: Pier(SIZE, drawn=200, kept=100),
    "grn": lambda: Grn(SIZE, taught_judge()),
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
    before = share_of_wanted_shown(net.eval())

    teach(net)

    assert before < 0.85  # by chance about half
    assert share_of_wanted_shown(net) > 0.95


def test_lists_hold_valid_candidates_once_and_nothing_beyond_their_slots(untrained: LearnedRanker):
    request = request_of(9, seed=1)

    require_lists(untrained.propose(request, 6, rng()), request, 6)


def test_list_0_does_not_depend_on_noise_or_on_how_many_lists_there_are(untrained: LearnedRanker):
    request = request_of(9, seed=1)

    few, many = untrained.propose(request, 1, rng(1)), untrained.propose(request, 8, rng(2))

    assert torch.equal(few[:, 0], many[:, 0])
    assert any(not torch.equal(many[:, 0], many[:, k]) for k in range(1, 8))


def test_requests_in_another_order_get_the_same_lists_in_that_order(untrained: LearnedRanker):
    request = request_of(9, seed=1)
    order = torch.randperm(9, generator=rng(4))
    permuted = RequestTensors(*(part[order] for part in request))

    straight = untrained.propose(request, 1, rng())
    turned = untrained.propose(permuted, 1, rng())

    assert torch.equal(turned, straight[order])


def test_what_stands_in_padding_changes_nothing(untrained: LearnedRanker):
    request = request_of(9, seed=1)
    noisy = request.candidates.clone()
    noisy[~request.cand_valid] = 17
    sessions = request.sessions.clone()
    sessions[~request.sess_valid] = 17

    clean = untrained.propose(request, 1, rng())
    dirty = untrained.propose(request._replace(candidates=noisy, sessions=sessions), 1, rng())

    assert torch.equal(clean, dirty)


def test_a_request_among_larger_ones_gets_the_list_that_it_gets_alone(untrained: LearnedRanker):
    padded, alone = padded_and_alone()

    among = untrained.propose(padded, 1, rng())

    assert torch.equal(untrained.propose(alone, 1, rng()), among)


def test_the_loss_teaches_every_weight_and_no_padding(untrained: LearnedRanker):
    batch = batch_of(32, seed=3)
    untrained.zero_grad()

    untrained.loss(batch, rng()).backward()

    for name, weight in untrained.named_parameters():
        assert weight.grad is not None, name
        assert bool(weight.grad.isfinite().all()), name
        if name.endswith("embedding.table"):
            assert bool((weight.grad[0] == 0).all()), name
