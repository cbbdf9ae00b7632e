"""Blocks that the nets of this room are made of, over the embeddings that our own nets use."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.baselines.ranker import NetSize
from model.nets.embedding import FieldEmbedding
from model.nets.inputs import RequestTensors
from model.nets.layers import Dense, attend
from model.nets.user_encoder import UserEncoder


class CandidateTokens(nn.Module):
    """Each candidate and who asks for it -> one vector, without a look at other candidates."""

    def __init__(self, size: NetSize) -> None:
        super().__init__()
        fields = size.fields
        self.embedding = FieldEmbedding(fields.table_rows, size.width)
        self.user = UserEncoder(fields, size.width)
        self.from_item = Dense(size.width * len(fields.candidate), size.hidden)
        self.from_user = Dense(self.user.size, size.hidden, bias=False)
        self.merge = Dense(size.hidden, size.hidden)
        self.candidate_fields = fields.candidate

    def who(self, request: RequestTensors) -> Tensor:
        """(B, size), the user; by far the largest part of the work where sessions are long."""
        return self.user(self.embedding, request)

    def forward(self, request: RequestTensors, user: Tensor | None = None) -> Tensor:
        """(B, N, hidden), zeros in padding; `user` is from `who` where it is known already."""
        items = self.embedding(request.candidates, self.candidate_fields).flatten(-2)
        user = self.who(request) if user is None else user
        first = torch.relu(self.from_item(items) + self.from_user(user).unsqueeze(1))
        return self.merge(first) * request.cand_valid.unsqueeze(-1)


class AttentionBlock(nn.Module):
    """Pre-norm transformer block: multi-head attention to `seen` (or itself), then two layers."""

    def __init__(self, hidden: int, heads: int = 2) -> None:
        super().__init__()
        if hidden % heads:
            raise ValueError(f"hidden={hidden} does not divide by heads={heads}")
        self.heads = heads
        self.before = nn.LayerNorm(hidden)
        self.query = Dense(hidden, hidden, bias=False)
        self.key = Dense(hidden, hidden, bias=False)
        self.value = Dense(hidden, hidden, bias=False)
        self.merge = Dense(hidden, hidden)
        self.middle = nn.LayerNorm(hidden)
        self.wide = Dense(hidden, 2 * hidden)
        self.narrow = Dense(2 * hidden, hidden)

    def forward(self, x: Tensor, valid: Tensor, seen: Tensor | None = None) -> Tensor:
        """Mix.

        Args:
            x: (..., S, hidden).
            valid: (..., S') bool, what of `seen` exists.
            seen: (..., S', hidden); None is x itself.
        """
        normed = self.before(x)
        other = normed if seen is None else self.before(seen)
        key, value = self._split(self.key(other)), self._split(self.value(other))
        mixed = attend(self._split(self.query(normed)), key, value, valid.unsqueeze(-2))
        x = x + self.merge(mixed.transpose(-2, -3).flatten(-2))
        return x + self.narrow(torch.relu(self.wide(self.middle(x))))

    def _split(self, x: Tensor) -> Tensor:
        """(..., S, hidden) -> (..., heads, S, hidden / heads)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(-2, -3)


class ToLogit(nn.Module):
    """Two layers: (..., hidden) -> (...) logits."""

    def __init__(self, n_in: int, hidden: int) -> None:
        super().__init__()
        self.inner = Dense(n_in, hidden)
        self.out = Dense(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Score the last axis away."""
        return self.out(torch.relu(self.inner(x))).squeeze(-1)
