"""Listwise scorers use the other candidates of a request; pointwise scorers do not."""

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


def train_net(
    make: Callable[[], Net],
    make_batch: Callable[..., Batch],
    steps: int,
    embedding_scale: float = 1.0,
) -> Net:
    """Return a briefly trained net; `embedding_scale` multiplies its initial embeddings.

    Large embeddings shorten the slow start of nets that multiply two embeddings.
    """
    net = make()
    net.tokens.embedding.weight.data.mul_(embedding_scale)
    train_briefly(net, make_training_batch=make_batch, steps=steps, lr=0.01)
    return net


def wanted_first_rate(net: ScoringRanker) -> float:
    """Share of new requests with a clickable item whose slot 0 holds one."""
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
def test_listwise_ranker_trained_on_context_clicks_learns_context(name: str):
    assert wanted_first_rate(train_net(LISTWISE[name], make_context_batch, STEPS[name])) > 0.9


def test_pointwise_trained_on_context_clicks_misses_context():
    net = train_net(lambda: Pointwise(DIMENSIONS), make_context_batch, 60)
    assert wanted_first_rate(net) < 0.85


@pytest.mark.slow
def test_mir_trained_on_history_clicks_ranks_preferred_first():
    net = train_net(lambda: Mir(DIMENSIONS), make_preference_batch, 120, embedding_scale=20.0)
    request, brand = make_preference_request(300, seed=8)
    first = net.propose(request, 1, torch.Generator().manual_seed(0))[:, 0, :1]
    wanted = wanted_by_preference(request, brand)
    has_evidence = wanted.any(dim=1) & (request.sess_valid.sum(dim=(1, 2)) > 2)
    assert float(wanted.gather(1, first).squeeze(1)[has_evidence].float().mean()) > 0.85


@pytest.mark.parametrize("name", LISTWISE)
def test_scores_with_padding_stay_equal(name: str):
    padded, alone = padded_and_unpadded()
    net = LISTWISE[name]().eval()
    net.tokens.embedding.weight.data.mul_(20)  # initial embeddings are almost equal
    with torch.no_grad():
        with_padding, without_padding = net.scores(padded), net.scores(alone)
    assert torch.allclose(with_padding[:, :-1], without_padding, atol=1e-5)


def scores_and_reversed_scores(net: Net) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores of requests, and scores of the reversed requests in the original order."""
    request = make_request(4, seed=2, ragged=False)
    reversed_request: RequestTensors = request._replace(candidates=request.candidates.flip(1))
    net.tokens.embedding.weight.data.mul_(20)  # initial embeddings are almost equal
    with torch.no_grad():
        return net.scores(request), net.scores(reversed_request).flip(1)


@pytest.mark.parametrize("name", ["setrank", "mir"])
def test_set_ranker_candidates_reversed_scores_equal(name: str):
    scores, reversed_scores = scores_and_reversed_scores(LISTWISE[name]())
    assert torch.allclose(scores, reversed_scores, atol=1e-5)


@pytest.mark.parametrize("name", ["prm", "dlcm"])
def test_sequence_ranker_candidates_reversed_scores_differ(name: str):
    scores, reversed_scores = scores_and_reversed_scores(LISTWISE[name]())
    assert not torch.allclose(scores, reversed_scores, atol=1e-3)
