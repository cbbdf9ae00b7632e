"""Blocks of baseline networks, over the embeddings that Relist networks use."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.baselines.ranker import NetDimensions
from model.nets.blocks.field_embedding import FieldEmbedding
from model.nets.blocks.layers import Dense, masked_attention
from model.nets.blocks.user_encoder import UserEncoder
from model.nets.request_tensors import RequestTensors


class CandidateEncoder(nn.Module):
    """Encodes each candidate with the user as one vector, independent of other candidates."""

    def __init__(self, size: NetDimensions) -> None:
        super().__init__()
        fields = size.fields
        self.embedding = FieldEmbedding(fields.num_embeddings, size.embedding_dim)
        self.user_encoder = UserEncoder(fields, size.embedding_dim)
        self.item_projection = Dense(size.embedding_dim * len(fields.candidate), size.hidden_dim)
        self.user_projection = Dense(self.user_encoder.output_width, size.hidden_dim, bias=False)
        self.merge = Dense(size.hidden_dim, size.hidden_dim)
        self.candidate_fields = fields.candidate

    def encode_user(self, request: RequestTensors) -> Tensor:
        """(B, user width) encoded user; the most expensive part for long sessions."""
        return self.user_encoder(self.embedding, request)

    def forward(self, request: RequestTensors, user: Tensor | None = None) -> Tensor:
        """(B, N, hidden), 0 in padding; `user` is the output of `encode_user` or None."""
        items = self.embedding(request.candidates, self.candidate_fields).flatten(-2)
        user = self.encode_user(request) if user is None else user
        first = torch.relu(self.item_projection(items) + self.user_projection(user).unsqueeze(1))
        return self.merge(first) * request.cand_valid.unsqueeze(-1)


class TransformerBlock(nn.Module):
    """Pre-norm transformer block: multi-head attention to `context` or itself, then an MLP."""

    def __init__(self, hidden: int, heads: int = 2) -> None:
        super().__init__()
        if hidden % heads:
            raise ValueError(f"hidden={hidden} does not divide by heads={heads}")
        self.heads = heads
        self.attention_norm = nn.LayerNorm(hidden)
        self.query = Dense(hidden, hidden, bias=False)
        self.key = Dense(hidden, hidden, bias=False)
        self.value = Dense(hidden, hidden, bias=False)
        self.merge = Dense(hidden, hidden)
        self.feedforward_norm = nn.LayerNorm(hidden)
        self.feedforward_in = Dense(hidden, 2 * hidden)
        self.feedforward_out = Dense(2 * hidden, hidden)

    def forward(self, x: Tensor, valid: Tensor, context: Tensor | None = None) -> Tensor:
        """(..., S, hidden) output of the block.

        Args:
            x: (..., S, hidden) float.
            valid: (..., S') bool, True for real entries of `context`.
            context: (..., S', hidden) float; None means `x`.
        """
        normed = self.attention_norm(x)
        other = normed if context is None else self.attention_norm(context)
        key, value = self._split(self.key(other)), self._split(self.value(other))
        mixed = masked_attention(self._split(self.query(normed)), key, value, valid.unsqueeze(-2))
        x = x + self.merge(mixed.transpose(-2, -3).flatten(-2))
        return x + self.feedforward_out(torch.relu(self.feedforward_in(self.feedforward_norm(x))))

    def _split(self, x: Tensor) -> Tensor:
        """(..., S, hidden) -> (..., heads, S, hidden / heads)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(-2, -3)


class LogitMlp(nn.Module):
    """MLP of two layers: (..., n_in) -> (...) logits."""

    def __init__(self, n_in: int, hidden: int) -> None:
        super().__init__()
        self.inner = Dense(n_in, hidden)
        self.out = Dense(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(..., n_in) -> (...) logits."""
        return self.out(torch.relu(self.inner(x))).squeeze(-1)
