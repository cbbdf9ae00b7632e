"""NAR4Rec: decodes all slots from one candidate x slot matrix.

"Non-autoregressive Generative Models for Reranking Recommendation" (Ren et al., KDD 2024,
arXiv 2402.06871):

    X = self-attention over the candidates               T = learned slot embeddings with attention
                                                         to each other and to X
    p_t(k) = softmax_k(x_k . t_t / sqrt(d))              independent for each slot
    loss = - sum_t log p_t(y_t)           for a list with good feedback (likelihood)
           - sum_t log(1 - p_t(y_t))      for a list with poor feedback (unlikelihood)
    contrastive decoding, slot by slot:  (1 - a) p_t(k) - a max_{j chosen} cosine(x_k, x_j)

Chosen candidates are masked. Departures: good feedback is a click share above that of the batch
(the paper uses a threshold on its utility); the evaluator that selects among lists is the one of
the benchmark, the same for every method.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.baselines.ranker import LearnedRanker, NetDimensions, noise_except_first_list
from model.baselines.shown_slot_losses import masked_log_softmax
from model.baselines.token_blocks import CandidateEncoder, TransformerBlock
from model.data.tables.batches import Batch
from model.nets.request_tensors import RequestTensors

_MIN_PROBABILITY = 1e-6


class Nar4Rec(LearnedRanker):
    """Matches candidates to slots; decoding penalizes similar items."""

    def __init__(self, size: NetDimensions, *, similarity_penalty: float = 0.1) -> None:
        """Args: size of the net; similarity_penalty: weight a of the similarity to chosen items."""
        super().__init__()
        self.similarity_penalty = similarity_penalty
        self.tokens = CandidateEncoder(size)
        self.candidate_attention = TransformerBlock(size.hidden_dim)
        self.slot_embedding = nn.Parameter(torch.randn(size.max_slots, size.hidden_dim) * 0.5)
        self.slot_attention = TransformerBlock(size.hidden_dim)
        self.candidate_cross_attention = TransformerBlock(size.hidden_dim)

    def slot_logits(self, request: RequestTensors) -> tuple[Tensor, Tensor]:
        """Logits (B, M, N) and candidates X (B, N, hidden)."""
        pool = self.candidate_attention(self.tokens(request), request.cand_valid)
        slots = self.slot_embedding.expand(len(pool), -1, -1)
        slots = self.slot_attention(slots, request.slot_valid)
        slots = self.candidate_cross_attention(slots, request.cand_valid, pool)
        return slots @ pool.transpose(1, 2) / math.sqrt(pool.shape[-1]), pool

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Likelihood of good lists and unlikelihood of poor ones, mean over lists."""
        request = batch.request
        logits, _ = self.slot_logits(request)
        log_p = masked_log_softmax(logits, request.cand_valid.unsqueeze(1))
        chosen = log_p.gather(2, batch.shown.unsqueeze(-1)).squeeze(-1)  # (B, M)
        avoided = torch.log1p(-chosen.exp().clamp(max=1.0 - _MIN_PROBABILITY))
        valid = request.slot_valid
        share = batch.clicks.sum(dim=1) / valid.sum(dim=1).clamp(min=1)
        good = share > batch.clicks.sum() / valid.sum().clamp(min=1)
        each = torch.where(good.unsqueeze(1), chosen, avoided)
        return -(each * valid).sum(dim=1).mean()

    @torch.no_grad()
    def propose(self, request: RequestTensors, num_lists: int, rng: torch.Generator) -> Tensor:
        """See `Ranker.propose`; further lists add Gumbel noise to the logits."""
        logits, pool = self.slot_logits(request)
        b, m, n = logits.shape
        noise = noise_except_first_list((b, num_lists, m, n), rng, logits.device)
        p = torch.softmax(
            (logits.unsqueeze(1) + noise).masked_fill(~request.cand_valid[:, None, None], -1e9), -1
        )
        unit = functional.normalize(pool, dim=-1)
        alike = unit @ unit.transpose(1, 2)  # (B, N, N)
        taken = ~request.cand_valid.unsqueeze(1).repeat(1, num_lists, 1)  # (B, K, N)
        nearest = torch.full_like(p[:, :, 0], -1.0)
        lists = torch.zeros((b, num_lists, m), dtype=torch.int64, device=logits.device)
        for slot in range(m):
            apart = self.similarity_penalty * nearest if slot else 0.0
            score = ((1.0 - self.similarity_penalty) * p[:, :, slot] - apart).masked_fill(
                taken, -torch.inf
            )
            item = score.argmax(dim=-1)  # (B, K)
            lists[..., slot] = item
            taken = taken.scatter(2, item.unsqueeze(-1), True)
            similar = alike.gather(1, item.unsqueeze(-1).expand(-1, -1, n))  # (B, K, N)
            nearest = torch.maximum(nearest, similar)
        return lists.masked_fill(~request.slot_valid.unsqueeze(1), 0)
