import torch

from model.baselines.unirank import UniRank
from tests.model.baselines.brand_click_data import (
    DIMENSIONS,
    make_batch,
    make_request,
)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_unirank_first_step_fills_most_probable_pair():
    net, request = UniRank(DIMENSIONS).eval(), make_request(4, seed=6)
    with torch.no_grad():
        pool = net.candidate_attention(net.tokens(request), request.cand_valid)
        open_lists = torch.zeros((4, 1, DIMENSIONS.max_slots), dtype=torch.int64)
        logits = net.slot_logits(pool, request, open_lists, torch.zeros_like(open_lists).bool())[
            :, 0
        ]
    p = torch.softmax(logits.masked_fill(~request.cand_valid[:, None], -1e9), dim=-1)

    lists = net.propose(request, 1, rng())[:, 0]

    for row in range(4):
        p_valid = p[row, request.slot_valid[row]]  # (slots, N)
        slot, item = divmod(int(p_valid.argmax()), p_valid.shape[1])
        assert int(lists[row, slot]) == item


def test_unirank_logits_ignore_items_in_open_slots():
    net, batch = UniRank(DIMENSIONS).eval(), make_batch(5, seed=6)
    pool = net.candidate_attention(net.tokens(batch.request), batch.request.cand_valid)
    nothing_filled = torch.zeros((5, 1, DIMENSIONS.max_slots), dtype=torch.bool)
    with_shown = net.slot_logits(pool, batch.request, batch.shown.unsqueeze(1), nothing_filled)
    with_zeros = net.slot_logits(
        pool, batch.request, torch.zeros_like(batch.shown).unsqueeze(1), nothing_filled
    )
    assert torch.equal(with_shown, with_zeros)
