"""PIER: samples permutations, prunes them by a hash of user interest, scores the rest.

"PIER: Permutation-Level Interest-Based End-to-End Re-ranking Framework in E-commerce" (Shi et al.,
KDD 2023, arXiv 2302.03487):

    v(L)   = sum_j x_j * w_j                        items weighted by position
    h(v)   = sign(v R)                              SimHash: random directions R
    FPSM   keeps the permutations with the smallest Hamming distance between h(v(L)) and the hashes
           of clicked items in past lists; recent lists have more weight
    OCPM   attention among the slots and to the past -> p_click by slot; the best sum is served
    loss   = BCE of OCPM on shown lists + share * contrastive loss, which pulls the interest towards
           the sampled permutation with the highest OCPM score

Departures: permutations are not enumerated; `num_sampled` of them are drawn with Plackett-Luce
noise around the input order, with the same noise for every request. Without past clicks all
distances are equal, and the first samples are kept, including the input list. Position weights
are products, because sums would give all orders of the same items one hash.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.baselines.ranker import (
    LearnedRanker,
    NetDimensions,
    noise_except_first_list,
    standard_gumbel,
    top_scored_lists,
)
from model.baselines.shown_slot_losses import pointwise_loss
from model.baselines.token_blocks import CandidateEncoder, LogitMlp, TransformerBlock
from model.data.tables.batches import Batch
from model.nets.blocks.layers import Dense, gather_lists
from model.nets.request_tensors import RequestTensors

_CONTRASTIVE_SAMPLES = 8  # permutations sampled by the contrastive loss
_TAU = 0.1  # temperature of the contrastive loss
_NUM_FEEDBACK_FIELDS = 2  # last session fields: clicked, converted


class Pier(LearnedRanker):
    """Fine-grained permutation selector (FPSM) and omnidirectional click predictor (OCPM)."""

    hash_directions: Tensor
    position_weights: Tensor
    permutation_noise: Tensor

    def __init__(
        self,
        size: NetDimensions,
        *,
        num_sampled: int = 1000,
        num_kept: int = 64,
        hash_bits: int = 64,
        contrastive_weight: float = 0.1,
    ) -> None:
        """Args: size; num_sampled, num_kept: permutations before and after FPSM; see above."""
        super().__init__()
        self.num_kept, self.contrastive_weight, self.clicked_row = (
            num_kept,
            contrastive_weight,
            size.clicked_row,
        )
        self.num_shared_fields = len(size.fields.session) - _NUM_FEEDBACK_FIELDS
        flat, fixed = size.embedding_dim * self.num_shared_fields, torch.Generator().manual_seed(0)
        self.tokens = CandidateEncoder(size)
        self.past_item_projection = Dense(
            size.embedding_dim * len(size.fields.session), size.hidden_dim
        )
        self.position_embedding = nn.Parameter(torch.randn(size.max_slots, size.hidden_dim) * 0.05)
        self.slot_attention = TransformerBlock(size.hidden_dim)
        self.history_attention = TransformerBlock(size.hidden_dim)
        self.score = LogitMlp(size.hidden_dim, size.hidden_dim)
        self.register_buffer("hash_directions", torch.randn(flat, hash_bits, generator=fixed))
        self.register_buffer(
            "position_weights", 1.0 + _position_sines(size.max_slots, flat), persistent=False
        )
        noise = noise_except_first_list(
            (1, num_sampled, size.max_candidates), fixed, torch.device("cpu")
        )
        self.register_buffer("permutation_noise", noise)

    def click_logits(self, request: RequestTensors, items: Tensor, lists: Tensor) -> Tensor:
        """OCPM: click logits (B, L, M) of the slots of lists.

        Args:
            request: tensors of the batch.
            items: (B, N, hidden), encoded candidates.
            lists: (B, L, M) candidate indices.
        """
        tokens = self.tokens
        x = self.slot_attention(
            gather_lists(items, lists) + self.position_embedding, request.slot_valid.unsqueeze(1)
        )
        past = tokens.embedding(request.sessions, tokens.user_encoder.session_fields).flatten(-2)
        past = self.past_item_projection(past.flatten(1, 2)).unsqueeze(1)  # (B, 1, H * M, hidden)
        return self.score(
            self.history_attention(x, request.sess_valid.flatten(1).unsqueeze(1), past)
        )

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Click loss of shown lists plus the weighted contrastive loss."""
        request = batch.request
        items = self.tokens(request)
        logits = self.click_logits(request, items, batch.shown.unsqueeze(1)).squeeze(1)
        b, n = request.cand_valid.shape
        noise = standard_gumbel((b, _CONTRASTIVE_SAMPLES, n), rng).to(request.cand_valid.device)
        contrast = self._contrastive_loss(request, items.detach(), top_scored_lists(noise, request))
        return pointwise_loss(logits, batch) + self.contrastive_weight * contrast

    @torch.no_grad()
    def propose(self, request: RequestTensors, num_lists: int, rng: torch.Generator) -> Tensor:
        """See `Ranker.propose`: the lists that FPSM keeps with the highest OCPM scores."""
        n = request.cand_valid.shape[1]
        order = -torch.log(torch.arange(1, n + 1, device=self.permutation_noise.device).float())
        lists = top_scored_lists(
            (order + self.permutation_noise[..., :n]).expand(len(request.user), -1, -1), request
        )
        similarity = self._hash_similarity(request, lists)  # (B, num_sampled)
        kept = similarity.argsort(dim=1, descending=True, stable=True)
        kept = kept[:, : max(self.num_kept, num_lists)]
        lists = lists.gather(1, kept.unsqueeze(-1).expand(-1, -1, lists.shape[-1]))
        logits = self.click_logits(request, self.tokens(request), lists)
        p_click = torch.sigmoid(logits) * request.slot_valid.unsqueeze(1)
        best = p_click.sum(dim=-1).argsort(dim=1, descending=True, stable=True)[:, :num_lists]
        return lists.gather(1, best.unsqueeze(-1).expand(-1, -1, lists.shape[-1]))

    def _hash_similarity(self, request: RequestTensors, lists: Tensor) -> Tensor:
        """(B, L) equal bits minus different bits, weighted mean over past lists."""
        past, weight = self._interest_vectors(request)
        codes = torch.sign(past @ self.hash_directions) * weight.unsqueeze(-1)  # (B, H, bits)
        items = self._shared_field_embeddings(request)
        found = torch.zeros((*lists.shape[:2], codes.shape[-1]), device=lists.device)
        for slot in range(lists.shape[-1]):  # v R is a sum over slots: project once a candidate
            projected = (items * self.position_weights[slot]) @ self.hash_directions  # (B, N, bits)
            index = lists[..., slot, None].expand(-1, -1, projected.shape[-1])
            there = request.slot_valid[:, slot, None, None]
            found += projected.gather(1, index) * there
        return (torch.sign(found) @ codes.sum(dim=1).unsqueeze(-1)).squeeze(-1)

    def _contrastive_loss(self, request: RequestTensors, items: Tensor, lists: Tensor) -> Tensor:
        """Minus log softmax of the best list's cosine to the interest, over users with one."""
        with torch.no_grad():
            logits = self.click_logits(request, items, lists)
            p = torch.sigmoid(logits) * request.slot_valid.unsqueeze(1)
            best = p.sum(dim=-1).argmax(dim=1, keepdim=True)
        shown = gather_lists(self._shared_field_embeddings(request), lists) * self.position_weights
        lists_v = (shown * request.slot_valid[:, None, :, None]).sum(dim=-2)  # (B, L, flat)
        past, weight = self._interest_vectors(request)
        interest = (past * weight.unsqueeze(-1)).sum(dim=1, keepdim=True)
        similarity = functional.cosine_similarity(lists_v, interest, dim=-1) / _TAU
        each = -torch.log_softmax(similarity, dim=1).gather(1, best).squeeze(1)
        has = weight.sum(dim=1) > 0
        return (each * has).sum() / has.sum().clamp(min=1)

    def _shared_field_embeddings(self, request: RequestTensors) -> Tensor:
        """(B, N, flat) embeddings of candidate fields that past items also have."""
        x = self.tokens.embedding(request.candidates, self.tokens.candidate_fields)
        return x[..., : self.num_shared_fields, :].flatten(-2)

    def _interest_vectors(self, request: RequestTensors) -> tuple[Tensor, Tensor]:
        """Interest v of each past list (B, H, flat), and list weights (B, H) that sum to 1."""
        x = self.tokens.embedding(request.sessions, self.tokens.user_encoder.session_fields)
        x = x[..., : self.num_shared_fields, :].flatten(-2)  # (B, H, M, flat)
        clicked = (
            request.sessions[..., -_NUM_FEEDBACK_FIELDS] == self.clicked_row
        ) & request.sess_valid
        v = (x * self.position_weights * clicked.unsqueeze(-1)).sum(dim=-2)
        age = torch.arange(v.shape[1], device=v.device)
        weight = clicked.any(dim=-1) / (1.0 + age)
        return v, weight / weight.sum(dim=1, keepdim=True).clamp(min=1e-6)


def _position_sines(slots: int, size: int) -> Tensor:
    """(slots, size) sines of the position, one frequency for each column."""
    place = torch.arange(slots).float().unsqueeze(1)
    frequency = torch.exp(-math.log(100.0) * torch.arange(size).float() / size)
    return torch.sin((place + 1.0) * frequency) * 0.9
