"""MIR: attention between the candidate set and the history, by items and by fields.

"Multi-Level Interaction Reranking with User Behavior History" (Xi et al., SIGIR 2022,
arXiv 2204.09370):

    V = self-attention over the candidates (a set)       S = recurrent net over past items (a list)
    A = V W_i S^T + sum_fg x_f W_fg p_g^T                affinity of items and of fields
    A = A * exp(-theta_u age)                            personal decay: theta from the user
    V' = tanh(V W_v + softmax(A) (S W_s))                candidates in the context of the history
    s' = sum_p b_p tanh(S W_s + softmax(A^T) (V W_v))_p  history in the context of the candidates
    score = MLP(V | V' | s')                             loss = binary cross-entropy

Departures: one direction of the recurrent net; affinities pass a softmax where the paper's
co-attention has only a tanh, so that the length of lists and histories has no effect; the net
reads all N candidates and the loss uses the shown ones.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.baselines.ranker import NetDimensions, ScoringRanker
from model.baselines.shown_slot_losses import gather_shown, pointwise_loss
from model.baselines.token_blocks import CandidateEncoder, LogitMlp, TransformerBlock
from model.data.tables.batches import Batch
from model.nets.blocks.layers import Dense, masked_softmax
from model.nets.request_tensors import RequestTensors


class Mir(ScoringRanker):
    """Set-to-list attention between candidates and history."""

    def __init__(self, size: NetDimensions) -> None:
        super().__init__()
        hidden, width, fields = size.hidden_dim, size.embedding_dim, size.fields
        self.tokens = CandidateEncoder(size)
        self.candidate_attention = TransformerBlock(hidden)
        self.past_item_projection = Dense(width * len(fields.session), hidden)
        self.history_encoder = nn.GRU(hidden, hidden, batch_first=True)
        self.item_affinity = Dense(hidden, hidden, bias=False)
        self.field_affinity = Dense(
            width * len(fields.candidate), width * len(fields.session), bias=False
        )
        self.decay = Dense(self.tokens.user_encoder.output_width, 1)
        self.candidate_projection = Dense(hidden, hidden, bias=False)
        self.history_projection = Dense(hidden, hidden, bias=False)
        self.history_pooling = Dense(hidden, 1, bias=False)
        self.score = LogitMlp(3 * hidden, hidden)

    def scores(self, request: RequestTensors) -> Tensor:
        """See `ScoringRanker.scores`."""
        user = self.tokens.encode_user(request)
        items = self.candidate_attention(
            self.tokens(request, user), request.cand_valid
        )  # (B, N, hidden)
        past, past_valid = self._oldest_first(request)  # (B, P, Fs * D), (B, P)
        history, _ = self.history_encoder(
            self.past_item_projection(past) * past_valid.unsqueeze(-1)
        )
        affinity = self._field_affinity(request, past) + self._item_affinity(items, history)
        affinity = affinity * self._personal_decay(user, past_valid).unsqueeze(1)
        history_keys = self.history_projection(history)
        candidate_keys = self.candidate_projection(items)
        in_history = torch.tanh(
            candidate_keys + masked_softmax(affinity, past_valid.unsqueeze(1)) @ history_keys
        )
        attention = masked_softmax(affinity.transpose(1, 2), request.cand_valid.unsqueeze(1))
        in_candidates = torch.tanh(history_keys + attention @ candidate_keys)  # (B, P, hidden)
        weight = masked_softmax(self.history_pooling(in_candidates).squeeze(-1), past_valid)
        summary = (weight.unsqueeze(1) @ in_candidates).expand(-1, items.shape[1], -1)
        return self.score(torch.cat([items, in_history, summary], dim=-1))

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Mean binary cross-entropy over shown slots."""
        return pointwise_loss(gather_shown(self.scores(batch.request), batch), batch)

    def _item_affinity(self, items: Tensor, history: Tensor) -> Tensor:
        """(B, N, P), affinity of candidates and past items."""
        return self.item_affinity(items) @ history.transpose(1, 2) / math.sqrt(items.shape[-1])

    def _field_affinity(self, request: RequestTensors, raw: Tensor) -> Tensor:
        """(B, N, P), affinity summed over all pairs of fields."""
        x = self.tokens.embedding(request.candidates, self.tokens.candidate_fields).flatten(-2)
        return self.field_affinity(x) @ raw.transpose(1, 2)

    def _personal_decay(self, user: Tensor, there: Tensor) -> Tensor:
        """(B, P), 1 for the newest past item, smaller for older ones."""
        count = there.sum(dim=1, keepdim=True)
        age = count - 1 - torch.arange(there.shape[1], device=there.device)
        share = age.clamp(min=0) / count.clamp(min=1)
        return torch.exp(-functional.softplus(self.decay(user)) * share)

    def _oldest_first(self, request: RequestTensors) -> tuple[Tensor, Tensor]:
        """Past items, oldest first and padding last: (B, P, Fs * D), and their mask (B, P)."""
        sessions = request.sessions.flip(1).flatten(1, 2)
        there = request.sess_valid.flip(1).flatten(1, 2)
        order = there.to(torch.int8).argsort(dim=1, descending=True, stable=True)
        rows = sessions.gather(1, order.unsqueeze(-1).expand_as(sessions))
        there = there.gather(1, order)
        embedded = self.tokens.embedding(rows, self.tokens.user_encoder.session_fields).flatten(-2)
        return embedded * there.unsqueeze(-1), there
