"""UniRank: iteratively fills the most probable pair of slot and candidate.

"UniRank: Unified List-wise Reranking via Confidence-Ordered Denoising" (Jia et al., 2026,
arXiv 2605.10527):

    H_S = attention over slots (filled: the item; open: a mask vector) and the candidates
    s_jk = (H_S W)_j . H_C,k / sqrt(d)                    slots against candidates
    loss = sum over masked slots of w_j * CE(s_j, item shown in j)       w: feedback
    decode: p = softmax_k(s) of all open slots; fill the most probable (slot, candidate); repeat

Departures: an item is a projection of its field embeddings (the paper fuses semantic tokens); the
number of masked slots is uniform in 1..M; w is 1 for clicked slots, else `unclicked_weight`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from model.baselines.ranker import LearnedRanker, NetDimensions, noise_except_first_list
from model.baselines.shown_slot_losses import masked_log_softmax
from model.baselines.token_blocks import CandidateEncoder, TransformerBlock
from model.data.tables.batches import Batch
from model.nets.blocks.layers import Dense, gather_lists
from model.nets.request_tensors import RequestTensors


class UniRank(LearnedRanker):
    """Iterative denoising of a list."""

    def __init__(
        self, size: NetDimensions, *, num_blocks: int = 1, unclicked_weight: float = 0.1
    ) -> None:
        """Args: size; num_blocks: attention blocks; unclicked_weight: loss weight of such slots."""
        super().__init__()
        self.unclicked_weight = unclicked_weight
        self.tokens = CandidateEncoder(size)
        self.candidate_attention = TransformerBlock(size.hidden_dim)
        self.mask_embedding = nn.Parameter(torch.randn(size.hidden_dim) * 0.5)
        self.position_embedding = nn.Parameter(torch.randn(size.max_slots, size.hidden_dim) * 0.5)
        self.slot_blocks = nn.ModuleList(
            TransformerBlock(size.hidden_dim) for _ in range(num_blocks)
        )
        self.candidate_cross_blocks = nn.ModuleList(
            TransformerBlock(size.hidden_dim) for _ in range(num_blocks)
        )
        self.match_projection = Dense(size.hidden_dim, size.hidden_dim, bias=False)

    def slot_logits(
        self, pool: Tensor, request: RequestTensors, lists: Tensor, filled: Tensor
    ) -> Tensor:
        """(B, K, M, N) logits s; items in slots that are not filled are ignored.

        Args:
            pool: (B, N, hidden), H_C.
            request: tensors of the batch.
            lists: (B, K, M) candidate indices.
            filled: (B, K, M) bool, True for filled slots.
        """
        items = gather_lists(pool, lists)
        x = torch.where(filled.unsqueeze(-1), items, self.mask_embedding) + self.position_embedding
        for among, to_pool in zip(self.slot_blocks, self.candidate_cross_blocks, strict=True):
            x = among(x, request.slot_valid.unsqueeze(1))
            x = to_pool(x, request.cand_valid.unsqueeze(1), pool.unsqueeze(1))
        keys = pool.unsqueeze(1).transpose(-1, -2)  # (B, 1, hidden, N)
        return self.match_projection(x) @ keys / math.sqrt(pool.shape[-1])

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Cross-entropy of masked slots, weighted by feedback; mean over lists."""
        request = batch.request
        masked = _random_slot_mask(request.slot_valid, rng)
        filled = (request.slot_valid & ~masked).unsqueeze(1)
        pool = self.candidate_attention(self.tokens(request), request.cand_valid)
        logits = self.slot_logits(pool, request, batch.shown.unsqueeze(1), filled).squeeze(1)
        free = request.cand_valid & ~_in_filled_slots(
            batch.shown, filled.squeeze(1), logits.shape[-1]
        )
        log_p = masked_log_softmax(logits, free.unsqueeze(1))
        chosen = log_p.gather(2, batch.shown.unsqueeze(-1)).squeeze(-1)
        weight = (batch.clicks + self.unclicked_weight * (1.0 - batch.clicks)) * masked
        return -(weight * chosen).sum() / len(chosen)

    @torch.no_grad()
    def propose(self, request: RequestTensors, num_lists: int, rng: torch.Generator) -> Tensor:
        """See `Ranker.propose`; further lists add Gumbel noise to the logits."""
        pool = self.candidate_attention(self.tokens(request), request.cand_valid)
        (b, n), m = request.cand_valid.shape, request.slot_valid.shape[1]
        noise = noise_except_first_list((b, num_lists, m, n), rng, pool.device)
        slot_valid = request.slot_valid.unsqueeze(1).expand(-1, num_lists, -1)
        lists = torch.zeros((b, num_lists, m), dtype=torch.int64, device=pool.device)
        filled = torch.zeros_like(lists, dtype=torch.bool)
        taken = ~request.cand_valid.unsqueeze(1).repeat(1, num_lists, 1)  # (B, K, N)
        for _ in range(m):
            logits = self.slot_logits(pool, request, lists, filled) + noise
            p = torch.softmax(logits.masked_fill(taken.unsqueeze(2), -1e9), dim=-1)
            p = p.masked_fill(taken.unsqueeze(2), -1.0)
            p = p.masked_fill((filled | ~slot_valid).unsqueeze(-1), -2.0)
            best = p.flatten(2).argmax(dim=-1, keepdim=True)  # (B, K, 1)
            slot, item = best // n, best % n
            going = (~filled & slot_valid).any(dim=-1, keepdim=True)
            lists = torch.where(going, lists.scatter(2, slot, item), lists)
            filled = torch.where(going, filled.scatter(2, slot, True), filled)
            taken = torch.where(going, taken.scatter(2, item, True), taken)
        return lists


def _random_slot_mask(slot_valid: Tensor, rng: torch.Generator) -> Tensor:
    """(B, M) bool, a random subset of valid slots; its size is uniform and at least 1."""
    draw = torch.rand(slot_valid.shape, generator=rng, device=rng.device).to(slot_valid.device)
    rank = draw.masked_fill(~slot_valid, 2.0).argsort(dim=1).argsort(dim=1)
    count = slot_valid.sum(dim=1, keepdim=True)
    uniform = torch.rand(count.shape, generator=rng, device=rng.device).to(count.device)
    return (rank < 1 + (uniform * count).long()) & slot_valid


def _in_filled_slots(lists: Tensor, filled: Tensor, candidates: int) -> Tensor:
    """(B, N) bool, candidates in filled slots."""
    counts = torch.zeros((len(lists), candidates), device=lists.device)
    return counts.scatter_add(1, lists, filled.to(counts.dtype)) > 0
