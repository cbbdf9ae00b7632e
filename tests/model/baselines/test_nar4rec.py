import pytest
import torch

from model.baselines.nar4rec import Nar4Rec
from tests.model.baselines.brand_click_data import (
    DIMENSIONS,
    make_batch,
    make_request,
)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_nar4rec_loss_adds_likelihood_and_unlikelihood():
    net, batch = Nar4Rec(DIMENSIONS).eval(), make_batch(40, seed=5)
    count = batch.request.slot_valid.sum(dim=1)
    share = batch.clicks.sum(dim=1) / count
    good = share > batch.clicks.sum() / count.sum()
    logits = net.slot_logits(batch.request)[0].detach()
    p = torch.softmax(logits.masked_fill(~batch.request.cand_valid[:, None], -1e9), dim=-1)
    of_list = p.gather(2, batch.shown.unsqueeze(-1)).squeeze(-1)
    total = 0.0
    for row in range(40):
        for slot in range(int(count[row])):
            p_item = of_list[row, slot]
            total -= float(torch.log(p_item) if good[row] else torch.log(1 - p_item))

    assert 0 < int(good.sum()) < 40
    assert net.loss(batch, rng()).item() == pytest.approx(total / 40, rel=1e-4)


def test_nar4rec_similarity_penalty_avoids_similar_items():
    request = make_request(6, seed=4, ragged=False)
    duplicated = request.candidates.clone()
    duplicated[:, 1] = duplicated[:, 0]  # the first two candidates have equal features
    request = request._replace(candidates=duplicated)
    net = Nar4Rec(DIMENSIONS).eval()
    net.tokens.embedding.weight.data.mul_(20)  # initial embeddings are almost equal

    def count_lists_with_both(penalty: float) -> int:
        net.similarity_penalty = penalty
        lists = net.propose(request, 16, rng())
        return int(((lists == 0).any(dim=-1) & (lists == 1).any(dim=-1)).sum())

    assert count_lists_with_both(0.0) > 20
    assert count_lists_with_both(0.95) == 0
