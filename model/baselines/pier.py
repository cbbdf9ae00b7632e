"""PIER: many permutations, pruned by a hash of the user's interest, and a net that judges the rest.

"PIER: Permutation-Level Interest-Based End-to-End Re-ranking Framework in E-commerce" (Shi et al.,
KDD 2023, arXiv 2302.03487):

    v(L)   = sum_j x_j * w_j                        items weighted by place, so that order counts
    h(v)   = sign(v R)                              SimHash: random directions R
    FPSM   keeps the permutations with the smallest Hamming distance between h(v(L)) and the hashes
           of what the user clicked in past lists, recent lists counting more
    OCPM   attention among the slots and to the past -> p_click by slot; the best sum is served
    loss   = BCE of OCPM on shown lists + share * contrastive loss, which pulls the interest towards
           the permutation that OCPM likes best among some drawn ones

Departures: permutations are not all enumerated; `drawn` of them come from Plackett-Luce noise
around the incoming order, the same noise for every request. A user without past clicks is at equal
distance from all and keeps the first of the draw, the input list among them. Places weigh by
products, because with sums all orders of the same items would have one hash. List 0 is OCPM's.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.baselines.list_losses import pointwise_loss
from model.baselines.ranker import LearnedRanker, NetSize, gumbel, noise_but_first, top_lists
from model.baselines.tokens import AttentionBlock, CandidateTokens, ToLogit
from model.data.batches import Batch
from model.nets.inputs import RequestTensors
from model.nets.layers import Dense, take_lists

_CONTRASTED = 8  # drawn permutations of the contrastive loss
_TAU = 0.1  # its temperature
_FEEDBACK = 2  # session fields that candidates lack, at the end


class Pier(LearnedRanker):
    """Fine-grained permutation selector (FPSM) and omnidirectional click predictor (OCPM)."""

    directions: Tensor
    place_weight: Tensor
    noise: Tensor

    def __init__(
        self,
        size: NetSize,
        *,
        drawn: int = 1000,
        kept: int = 64,
        bits: int = 64,
        share: float = 0.1,
    ) -> None:
        """Args: size of the nets; drawn, kept: permutations before and after FPSM; see above."""
        super().__init__()
        self.kept, self.share, self.clicked_row = kept, share, size.clicked_row
        self.common = len(size.fields.session) - _FEEDBACK
        flat, fixed = size.width * self.common, torch.Generator().manual_seed(0)
        self.tokens = CandidateTokens(size)
        self.past_item = Dense(size.width * len(size.fields.session), size.hidden)
        self.position = nn.Parameter(torch.randn(size.slots, size.hidden) * 0.05)
        self.among = AttentionBlock(size.hidden)
        self.to_past = AttentionBlock(size.hidden)
        self.score = ToLogit(size.hidden, size.hidden)
        self.register_buffer("directions", torch.randn(flat, bits, generator=fixed))
        self.register_buffer("place_weight", 1.0 + _waves(size.slots, flat), persistent=False)
        noise = noise_but_first((1, drawn, size.candidates), fixed, torch.device("cpu"))
        self.register_buffer("noise", noise)

    def logits(self, request: RequestTensors, items: Tensor, lists: Tensor) -> Tensor:
        """OCPM: click logits (B, L, M) of the slots of lists.

        Args:
            request: of the batch.
            items: (B, N, hidden), its candidates' tokens.
            lists: (B, L, M).
        """
        tokens = self.tokens
        x = self.among(take_lists(items, lists) + self.position, request.slot_valid.unsqueeze(1))
        past = tokens.embedding(request.sessions, tokens.user.session_fields).flatten(-2)
        past = self.past_item(past.flatten(1, 2)).unsqueeze(1)  # (B, 1, H * M, hidden)
        return self.score(self.to_past(x, request.sess_valid.flatten(1).unsqueeze(1), past))

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Clicks of shown lists, and the contrastive loss."""
        request = batch.request
        items = self.tokens(request)
        logits = self.logits(request, items, batch.shown.unsqueeze(1)).squeeze(1)
        b, n = request.cand_valid.shape
        noise = gumbel((b, _CONTRASTED, n), rng).to(request.cand_valid.device)
        contrast = self._contrast(request, items.detach(), top_lists(noise, request))
        return pointwise_loss(logits, batch) + self.share * contrast

    @torch.no_grad()
    def propose(self, request: RequestTensors, num_lists: int, rng: torch.Generator) -> Tensor:
        """See `Ranker.propose`: the lists that OCPM likes best among those that FPSM keeps."""
        n = request.cand_valid.shape[1]
        order = -torch.log(torch.arange(1, n + 1, device=self.noise.device).float())
        lists = top_lists((order + self.noise[..., :n]).expand(len(request.user), -1, -1), request)
        likeness = self._hash_likeness(request, lists)  # (B, drawn)
        kept = likeness.argsort(dim=1, descending=True, stable=True)
        kept = kept[:, : max(self.kept, num_lists)]
        lists = lists.gather(1, kept.unsqueeze(-1).expand(-1, -1, lists.shape[-1]))
        logits = self.logits(request, self.tokens(request), lists)
        worth = torch.sigmoid(logits) * request.slot_valid.unsqueeze(1)
        best = worth.sum(dim=-1).argsort(dim=1, descending=True, stable=True)[:, :num_lists]
        return lists.gather(1, best.unsqueeze(-1).expand(-1, -1, lists.shape[-1]))

    def _hash_likeness(self, request: RequestTensors, lists: Tensor) -> Tensor:
        """(B, L): bits that agree minus bits that differ, weighted mean over past lists."""
        past, weight = self._interests(request)
        codes = torch.sign(past @ self.directions) * weight.unsqueeze(-1)  # (B, H, bits)
        items = self._items(request)
        found = torch.zeros((*lists.shape[:2], codes.shape[-1]), device=lists.device)
        for slot in range(lists.shape[-1]):  # v R is a sum over slots: project once a candidate
            projected = (items * self.place_weight[slot]) @ self.directions  # (B, N, bits)
            index = lists[..., slot, None].expand(-1, -1, projected.shape[-1])
            there = request.slot_valid[:, slot, None, None]
            found += projected.gather(1, index) * there
        return (torch.sign(found) @ codes.sum(dim=1).unsqueeze(-1)).squeeze(-1)

    def _contrast(self, request: RequestTensors, items: Tensor, lists: Tensor) -> Tensor:
        """- log softmax of the best list's cosine to the interest, over users who have one."""
        with torch.no_grad():
            logits = self.logits(request, items, lists)
            p = torch.sigmoid(logits) * request.slot_valid.unsqueeze(1)
            best = p.sum(dim=-1).argmax(dim=1, keepdim=True)
        shown = take_lists(self._items(request), lists) * self.place_weight
        lists_v = (shown * request.slot_valid[:, None, :, None]).sum(dim=-2)  # (B, L, flat)
        past, weight = self._interests(request)
        interest = (past * weight.unsqueeze(-1)).sum(dim=1, keepdim=True)
        alike = functional.cosine_similarity(lists_v, interest, dim=-1) / _TAU
        each = -torch.log_softmax(alike, dim=1).gather(1, best).squeeze(1)
        has = weight.sum(dim=1) > 0
        return (each * has).sum() / has.sum().clamp(min=1)

    def _items(self, request: RequestTensors) -> Tensor:
        """(B, N, flat): candidates by the fields that past items have too."""
        x = self.tokens.embedding(request.candidates, self.tokens.candidate_fields)
        return x[..., : self.common, :].flatten(-2)

    def _interests(self, request: RequestTensors) -> tuple[Tensor, Tensor]:
        """V of what was clicked in each past list (B, H, flat), and weights (B, H) summing to 1."""
        x = self.tokens.embedding(request.sessions, self.tokens.user.session_fields)
        x = x[..., : self.common, :].flatten(-2)  # (B, H, M, flat)
        clicked = (request.sessions[..., -_FEEDBACK] == self.clicked_row) & request.sess_valid
        v = (x * self.place_weight * clicked.unsqueeze(-1)).sum(dim=-2)
        age = torch.arange(v.shape[1], device=v.device)
        weight = clicked.any(dim=-1) / (1.0 + age)
        return v, weight / weight.sum(dim=1, keepdim=True).clamp(min=1e-6)


def _waves(slots: int, size: int) -> Tensor:
    """(slots, size): sines of the place, one frequency a column."""
    place = torch.arange(slots).float().unsqueeze(1)
    frequency = torch.exp(-math.log(100.0) * torch.arange(size).float() / size)
    return torch.sin((place + 1.0) * frequency) * 0.9
