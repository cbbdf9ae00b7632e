"""The context evaluator: a transformer over the slots of a list, with separate examination.

The list embedding of the published net does not change when slots are permuted, and a search
exploits that. See docs/explanation/method.md#context-evaluator.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.nets.blocks.field_embedding import FieldEmbedding
from model.nets.blocks.layers import Dense, EnsembleLayerNorm, masked_attention
from model.nets.blocks.unique_history import UniqueHistory
from model.nets.blocks.user_encoder import UserEncoder
from model.nets.evaluators.abstract_evaluator import EncodedRequest, Evaluator
from model.nets.field_layout import FieldLayout
from model.nets.request_tensors import RequestTensors


class ContextEvaluator(Evaluator):
    """p_click_j = examined_j * sigmoid(relevance_j), relevance from a transformer over slots.

    The inputs of a candidate are its embeddings, its factor products with the user (one per field),
    and target attention over the user's past items.
    """

    def __init__(
        self,
        fields: FieldLayout,
        *,
        slots: int,
        width: int,
        hidden: int,
        members: int,
        layers: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.members, self.slots, self.hidden = members, slots, hidden
        self.dropout = nn.Dropout(dropout)
        self.embedding = FieldEmbedding(fields.num_embeddings, width, members=members)
        self.factor_embedding = FieldEmbedding(fields.num_embeddings, 2 * width, members=members)
        self.user_encoder = UserEncoder(fields, width, members=members)
        flat = width * len(fields.candidate)
        self.history_query = Dense(flat, width, members=members, bias=False)
        self.history_key = Dense(width * len(fields.session), width, members=members, bias=False)
        self.history_value = Dense(width * len(fields.session), width, members=members)
        self.candidate_width = self.context_width = hidden
        self.item_projection = Dense(flat + width + len(fields.candidate), hidden, members=members)
        self.user_projection = Dense(
            self.user_encoder.output_width, hidden, members=members, bias=False
        )
        self.position_embedding = nn.Parameter(torch.randn(members, slots, hidden) * 0.05)
        self.blocks = nn.ModuleList(
            SlotTransformerBlock(hidden, slots, members=members) for _ in range(layers)
        )
        self.output_norm = EnsembleLayerNorm(hidden, members=members)
        self.output_layer = Dense(hidden, 2, members=members)
        self.examination_logits = nn.Parameter(torch.full((members, slots), 2.0))
        self.candidate_fields = fields.candidate

    def embedding_params(self) -> list[nn.Parameter]:
        """See `Evaluator.embedding_params`."""
        return [self.embedding.weight, self.factor_embedding.weight]

    def encode(self, request: RequestTensors) -> EncodedRequest:
        """See `Evaluator.encode`."""
        x = self.embedding(request.candidates, self.candidate_fields)
        x = x.flatten(-2)  # (E, B, N, F * D)
        user_factors = self.factor_embedding(request.user, self.user_encoder.user_fields).sum(
            dim=-2
        )  # (E, B, 2D)
        item_factors = self.factor_embedding(
            request.candidates, self.candidate_fields
        )  # (E, B, N, F, 2D)
        products = (item_factors @ user_factors[:, :, None, :, None]).squeeze(-1)  # (E, B, N, F)
        past, items = self.user_encoder.embed_history(self.embedding, request)
        history = self._history(x, past, items, request.sess_valid)
        parts = torch.cat([x, history, products], dim=-1)
        user = self.user_encoder(self.embedding, request, (past, items))
        context = self.user_projection.project_requests(user).unsqueeze(2)  # (E, B, 1, 1, hidden)
        return EncodedRequest(self.item_projection(self.dropout(parts)), context)

    def _history(self, x: Tensor, past: UniqueHistory, items: Tensor, valid: Tensor) -> Tensor:
        """Target attention (E, B, N, D) of candidates over the user's past items."""
        flat = past.flatten_fields(items)
        key, value = (
            past.expand_to_slots(self.history_key(flat)),
            past.expand_to_slots(self.history_value(flat)),
        )
        return masked_attention(self.history_query(x), key, value, valid.flatten(1))

    def score(
        self, encoded: EncodedRequest, slot_encodings: Tensor, slot_valid: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `Evaluator.score`."""
        there = slot_valid[:, None, :]  # (B, 1, M)
        tokens = slot_encodings + encoded.context + self.position_embedding[:, None, None]
        for block in self.blocks:
            tokens = block(tokens, there)
        logits = self.output_layer(
            self.dropout(torch.relu(self.output_norm(tokens)))
        )  # (E, B, L, M, 2)
        examined = torch.sigmoid(self.examination_logits)[:, None, None, :]
        weight = there.to(logits.dtype)
        p = torch.sigmoid(logits)
        return p[..., 0] * examined * weight, p[..., 1] * weight

    def scale_click_logits(self, factor: float) -> None:
        """See `Evaluator.scale_click_logits`."""
        self.output_layer.scale_output_column(0, factor)


class SlotTransformerBlock(nn.Module):
    """Pre-norm transformer block over the slots of a list, with a learned bias per slot pair."""

    def __init__(self, hidden: int, slots: int, *, members: int) -> None:
        super().__init__()
        self.attention_norm = EnsembleLayerNorm(hidden, members=members)
        self.query = Dense(hidden, hidden, members=members, bias=False)
        self.key = Dense(hidden, hidden, members=members, bias=False)
        self.value = Dense(hidden, hidden, members=members, bias=False)
        self.slot_pair_bias = nn.Parameter(torch.zeros(members, 1, 1, slots, slots))
        self.slot_pair_mixing = nn.Parameter(torch.randn(members, 1, 1, slots, slots) * 0.05)
        self.attention_projection = Dense(2 * hidden, hidden, members=members)
        self.mlp_norm = EnsembleLayerNorm(hidden, members=members)
        self.mlp_in = Dense(hidden, 2 * hidden, members=members)
        self.mlp_out = Dense(2 * hidden, hidden, members=members)

    def forward(self, tokens: Tensor, slot_valid: Tensor) -> Tensor:
        """Transform tokens (E, B, L, M, hidden); `slot_valid` is (B, 1, M) bool."""
        x = self.attention_norm(tokens)
        query, key, value = self.query(x), self.key(x), self.value(x)
        seen = masked_attention(query, key, value, slot_valid, bias=self.slot_pair_bias)
        weight = slot_valid.to(x.dtype)[:, :, None, :]  # (B, 1, 1, M)
        placed = (self.slot_pair_mixing * weight) @ value  # weights of the slot pair alone
        tokens = tokens + self.attention_projection(torch.cat([seen, placed], dim=-1))
        return tokens + self.mlp_out(torch.relu(self.mlp_in(self.mlp_norm(tokens))))
