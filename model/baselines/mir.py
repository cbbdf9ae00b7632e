"""MIR: the candidate set meets the user's history, item by item and field by field.

"Multi-Level Interaction Reranking with User Behavior History" (Xi et al., SIGIR 2022,
arXiv 2204.09370):

    V = self-attention over the candidates (a set)       S = recurrent net over past items (a list)
    A = V W_i S^T + sum_fg x_f W_fg p_g^T                affinity of items and of fields
    A = A * exp(-theta_u age)                            personal decay: theta from the user
    V' = tanh(V W_v + softmax(A) (S W_s))                candidates, as history sees them
    s' = sum_p b_p tanh(S W_s + softmax(A^T) (V W_v))_p  history, as the candidates see it
    score = MLP(V | V' | s')                             loss = binary cross-entropy

Departures: one direction of the recurrent net; affinities pass a softmax where the paper's
co-attention only a tanh, so that lists and histories of any length weigh alike; all N candidates
are read and the loss runs over the shown ones.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.baselines.list_losses import of_shown, pointwise_loss
from model.baselines.ranker import NetSize, ScoringRanker
from model.baselines.tokens import AttentionBlock, CandidateTokens, ToLogit
from model.data.batches import Batch
from model.nets.inputs import RequestTensors
from model.nets.layers import Dense, masked_softmax


class Mir(ScoringRanker):
    """Set-to-list attention between candidates and history."""

    def __init__(self, size: NetSize) -> None:
        super().__init__()
        hidden, width, fields = size.hidden, size.width, size.fields
        self.tokens = CandidateTokens(size)
        self.among = AttentionBlock(hidden)
        self.past_item = Dense(width * len(fields.session), hidden)
        self.past = nn.GRU(hidden, hidden, batch_first=True)
        self.by_item = Dense(hidden, hidden, bias=False)
        self.by_field = Dense(
            width * len(fields.candidate), width * len(fields.session), bias=False
        )
        self.decay = Dense(self.tokens.user.size, 1)
        self.from_set = Dense(hidden, hidden, bias=False)
        self.from_list = Dense(hidden, hidden, bias=False)
        self.pick = Dense(hidden, 1, bias=False)
        self.score = ToLogit(3 * hidden, hidden)

    def scores(self, request: RequestTensors) -> Tensor:
        """See `ScoringRanker.scores`."""
        user = self.tokens.who(request)
        items = self.among(self.tokens(request, user), request.cand_valid)  # (B, N, hidden)
        raw, there = self._oldest_first(request)  # (B, P, Fs * D), (B, P)
        history, _ = self.past(self.past_item(raw) * there.unsqueeze(-1))
        affinity = self._by_field(request, raw) + self._by_item(items, history)
        affinity = affinity * self._decay(user, there).unsqueeze(1)
        theirs, ours = self.from_list(history), self.from_set(items)
        seen = torch.tanh(ours + masked_softmax(affinity, there.unsqueeze(1)) @ theirs)
        turned = masked_softmax(affinity.transpose(1, 2), request.cand_valid.unsqueeze(1))
        back = torch.tanh(theirs + turned @ ours)  # (B, P, hidden)
        weight = masked_softmax(self.pick(back).squeeze(-1), there)
        summary = (weight.unsqueeze(1) @ back).expand(-1, items.shape[1], -1)
        return self.score(torch.cat([items, seen, summary], dim=-1))

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Mean over shown slots."""
        return pointwise_loss(of_shown(self.scores(batch.request), batch), batch)

    def _by_item(self, items: Tensor, history: Tensor) -> Tensor:
        """(B, N, P), affinity of candidates and past items."""
        return self.by_item(items) @ history.transpose(1, 2) / math.sqrt(items.shape[-1])

    def _by_field(self, request: RequestTensors, raw: Tensor) -> Tensor:
        """(B, N, P), affinity summed over all pairs of fields."""
        x = self.tokens.embedding(request.candidates, self.tokens.candidate_fields).flatten(-2)
        return self.by_field(x) @ raw.transpose(1, 2)

    def _decay(self, user: Tensor, there: Tensor) -> Tensor:
        """(B, P), 1 for the newest item and less for older ones."""
        count = there.sum(dim=1, keepdim=True)
        age = count - 1 - torch.arange(there.shape[1], device=there.device)
        share = age.clamp(min=0) / count.clamp(min=1)
        return torch.exp(-functional.softplus(self.decay(user)) * share)

    def _oldest_first(self, request: RequestTensors) -> tuple[Tensor, Tensor]:
        """Past items in time order, those that exist first: embedded (B, P, Fs * D), and which."""
        sessions = request.sessions.flip(1).flatten(1, 2)
        there = request.sess_valid.flip(1).flatten(1, 2)
        order = there.to(torch.int8).argsort(dim=1, descending=True, stable=True)
        rows = sessions.gather(1, order.unsqueeze(-1).expand_as(sessions))
        there = there.gather(1, order)
        embedded = self.tokens.embedding(rows, self.tokens.user.session_fields).flatten(-2)
        return embedded * there.unsqueeze(-1), there
