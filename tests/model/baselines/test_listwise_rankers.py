"""List-wise scorers see the company that a candidate is in; each in its own way."""

from collections.abc import Callable
from typing import TypeVar

import pytest
import torch

from model.baselines.dlcm import Dlcm
from model.baselines.mir import Mir
from model.baselines.pointwise import Pointwise
from model.baselines.prm import Prm
from model.baselines.ranker import ScoringRanker
from model.baselines.setrank import SetRank
from model.data.tables.batches import Batch
from model.nets.request_tensors import RequestTensors
from tests.model.baselines.brand_click_data import (
    DIMENSIONS,
    make_context_batch,
    make_context_request,
    make_preference_batch,
    make_preference_request,
    make_request,
    padded_and_unpadded,
    train_briefly,
    wanted_by_context,
    wanted_by_preference,
)

Net = TypeVar("Net", bound=Prm | Dlcm | SetRank | Mir | Pointwise)
LISTWISE: dict[str, Callable[[], Prm | Dlcm | SetRank | Mir]] = {
    "prm": lambda: Prm(DIMENSIONS, num_blocks=1),
    "dlcm": lambda: Dlcm(DIMENSIONS),
    "setrank": lambda: SetRank(DIMENSIONS, num_blocks=1, num_points=8),
    "mir": lambda: Mir(DIMENSIONS),
}


STEPS = {"prm": 120, "dlcm": 250, "setrank": 250}


def trained(
    make: Callable[[], Net], make_batch: Callable[..., Batch], steps: int, scale: float = 1.0
) -> Net:
    """Train briefly; `noise_scale` of the first embeddings shortens the slow start of products of two."""
    net = make()
    net.tokens.embedding.weight.data.mul_(scale)
    train_briefly(net, make_training_batch=make_batch, steps=steps, lr=0.01)
    return net


def wanted_first_rate(net: ScoringRanker) -> float:
    """How often slot 0 holds a wanted item, over new requests that have one."""
    request = make_context_request(300, seed=8)
    first = net.propose(request, 1, torch.Generator().manual_seed(0))[:, 0, :1]
    wanted = wanted_by_context(request)
    return float(wanted.gather(1, first).squeeze(1)[wanted.any(dim=1)].float().mean())


@pytest.mark.parametrize(
    "name",
    [
        "prm",
        pytest.param("dlcm", marks=pytest.mark.slow),
        pytest.param("setrank", marks=pytest.mark.slow),
    ],
)
def test_what_is_wanted_only_in_some_company_is_learnt_by_a_listwise_net(name: str):
    assert wanted_first_rate(trained(LISTWISE[name], make_context_batch, STEPS[name])) > 0.9


def test_a_pointwise_net_cannot_learn_what_depends_on_company():
    net = trained(lambda: Pointwise(DIMENSIONS), make_context_batch, 60)
    assert wanted_first_rate(net) < 0.85


@pytest.mark.slow
def test_mir_finds_in_the_history_what_the_user_wants():
    net = trained(lambda: Mir(DIMENSIONS), make_preference_batch, 120, scale=20.0)
    request, brand = make_preference_request(300, seed=8)
    first = net.propose(request, 1, torch.Generator().manual_seed(0))[:, 0, :1]
    wanted = wanted_by_preference(request, brand)
    told = wanted.any(dim=1) & (request.sess_valid.sum(dim=(1, 2)) > 2)
    assert float(wanted.gather(1, first).squeeze(1)[told].float().mean()) > 0.85


@pytest.mark.parametrize("name", LISTWISE)
def test_padding_moves_no_score(name: str):
    padded, alone = padded_and_unpadded()
    net = LISTWISE[name]().eval()
    net.tokens.embedding.weight.data.mul_(20)  # fresh embeddings are all alike
    with torch.no_grad():
        among, own = net.scores(padded), net.scores(alone)
    assert torch.allclose(among[:, :-1], own, atol=1e-5)


def scores_and_reversed_scores(net: Net) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores of whole requests, and of the same with candidates turned around, turned back."""
    request = make_request(4, seed=2, ragged=False)
    turned: RequestTensors = request._replace(candidates=request.candidates.flip(1))
    net.tokens.embedding.weight.data.mul_(20)  # fresh embeddings are all alike
    with torch.no_grad():
        return net.scores(request), net.scores(turned).flip(1)


@pytest.mark.parametrize("name", ["setrank", "mir"])
def test_a_set_has_no_order(name: str):
    straight, turned = scores_and_reversed_scores(LISTWISE[name]())
    assert torch.allclose(straight, turned, atol=1e-5)


@pytest.mark.parametrize("name", ["prm", "dlcm"])
def test_an_incoming_list_has_an_order(name: str):
    straight, turned = scores_and_reversed_scores(LISTWISE[name]())
    assert not torch.allclose(straight, turned, atol=1e-3)
