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
from model.data.batches import Batch
from model.nets.inputs import RequestTensors
from tests.model.baselines.brand_problem import (
    SIZE,
    batch_in_context,
    batch_with_taste,
    padded_and_alone,
    request_in_context,
    request_of,
    request_with_taste,
    teach,
    wanted_by_taste,
    wanted_in_context,
)

Net = TypeVar("Net", bound=Prm | Dlcm | SetRank | Mir | Pointwise)
LISTWISE: dict[str, Callable[[], Prm | Dlcm | SetRank | Mir]] = {
    "prm": lambda: Prm(SIZE, blocks=1),
    "dlcm": lambda: Dlcm(SIZE),
    "setrank": lambda: SetRank(SIZE, blocks=1, points=8),
    "mir": lambda: Mir(SIZE),
}


STEPS = {"prm": 120, "dlcm": 250, "setrank": 250}


def taught(
    make: Callable[[], Net], make_batch: Callable[..., Batch], steps: int, scale: float = 1.0
) -> Net:
    """Train briefly; `scale` of the first embeddings shortens the slow start of products of two."""
    net = make()
    net.tokens.embedding.table.data.mul_(scale)
    teach(net, make=make_batch, steps=steps, lr=0.01)
    return net


def share_of_wanted_first(net: ScoringRanker) -> float:
    """How often slot 0 holds a wanted item, over new requests that have one."""
    request = request_in_context(300, seed=8)
    first = net.propose(request, 1, torch.Generator().manual_seed(0))[:, 0, :1]
    wanted = wanted_in_context(request)
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
    assert share_of_wanted_first(taught(LISTWISE[name], batch_in_context, STEPS[name])) > 0.9


def test_a_pointwise_net_cannot_learn_what_depends_on_company():
    net = taught(lambda: Pointwise(SIZE), batch_in_context, 60)
    assert share_of_wanted_first(net) < 0.85


@pytest.mark.slow
def test_mir_finds_in_the_history_what_the_user_wants():
    net = taught(lambda: Mir(SIZE), batch_with_taste, 120, scale=20.0)
    request, brand = request_with_taste(300, seed=8)
    first = net.propose(request, 1, torch.Generator().manual_seed(0))[:, 0, :1]
    wanted = wanted_by_taste(request, brand)
    told = wanted.any(dim=1) & (request.sess_valid.sum(dim=(1, 2)) > 2)
    assert float(wanted.gather(1, first).squeeze(1)[told].float().mean()) > 0.85


@pytest.mark.parametrize("name", LISTWISE)
def test_padding_moves_no_score(name: str):
    padded, alone = padded_and_alone()
    net = LISTWISE[name]().eval()
    net.tokens.embedding.table.data.mul_(20)  # fresh embeddings are all alike
    with torch.no_grad():
        among, own = net.scores(padded), net.scores(alone)
    assert torch.allclose(among[:, :-1], own, atol=1e-5)


def scores_and_turned_scores(net: Net) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores of whole requests, and of the same with candidates turned around, turned back."""
    request = request_of(4, seed=2, ragged=False)
    turned: RequestTensors = request._replace(candidates=request.candidates.flip(1))
    net.tokens.embedding.table.data.mul_(20)  # fresh embeddings are all alike
    with torch.no_grad():
        return net.scores(request), net.scores(turned).flip(1)


@pytest.mark.parametrize("name", ["setrank", "mir"])
def test_a_set_has_no_order(name: str):
    straight, turned = scores_and_turned_scores(LISTWISE[name]())
    assert torch.allclose(straight, turned, atol=1e-5)


@pytest.mark.parametrize("name", ["prm", "dlcm"])
def test_an_incoming_list_has_an_order(name: str):
    straight, turned = scores_and_turned_scores(LISTWISE[name]())
    assert not torch.allclose(straight, turned, atol=1e-3)
