"""Properties of every learned method: it learns a known pattern and proposes valid lists."""

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
def test_learned_ranker_after_short_training_ranks_clicked_first(name: str):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = METHODS[name]()
    before = wanted_hit_rate(net.eval())

    train_briefly(net)

    assert before < 0.85  # by chance about half
    assert wanted_hit_rate(net) > 0.95


def test_propose_ragged_requests_returns_valid_lists(untrained: LearnedRanker):
    request = make_request(9, seed=1)

    require_valid_lists(untrained.propose(request, 6, rng()), request, 6)


def test_propose_first_list_ignores_rng_and_count(untrained: LearnedRanker):
    request = make_request(9, seed=1)

    few, many = untrained.propose(request, 1, rng(1)), untrained.propose(request, 8, rng(2))

    assert torch.equal(few[:, 0], many[:, 0])
    assert any(not torch.equal(many[:, 0], many[:, k]) for k in range(1, 8))


def test_propose_batch_permuted_permutes_lists(untrained: LearnedRanker):
    request = make_request(9, seed=1)
    order = torch.randperm(9, generator=rng(4))
    permuted = RequestTensors(*(part[order] for part in request))

    lists = untrained.propose(request, 1, rng())
    permuted_lists = untrained.propose(permuted, 1, rng())

    assert torch.equal(permuted_lists, lists[order])


def test_propose_padding_values_changed_lists_equal(untrained: LearnedRanker):
    request = make_request(9, seed=1)
    noisy = request.candidates.clone()
    noisy[~request.cand_valid] = 17
    sessions = request.sessions.clone()
    sessions[~request.sess_valid] = 17

    clean = untrained.propose(request, 1, rng())
    dirty = untrained.propose(request._replace(candidates=noisy, sessions=sessions), 1, rng())

    assert torch.equal(clean, dirty)


def test_propose_padded_request_equals_unpadded_request(untrained: LearnedRanker):
    padded, alone = padded_and_unpadded()

    padded_lists = untrained.propose(padded, 1, rng())

    assert torch.equal(untrained.propose(alone, 1, rng()), padded_lists)


def test_loss_backward_reaches_weights_but_not_padding(untrained: LearnedRanker):
    batch = make_batch(32, seed=3)
    untrained.zero_grad()

    untrained.loss(batch, rng()).backward()

    for name, weight in untrained.named_parameters():
        assert weight.grad is not None, name
        assert bool(weight.grad.isfinite().all()), name
        if name.endswith("embedding.weight"):
            assert bool((weight.grad[0] == 0).all()), name
