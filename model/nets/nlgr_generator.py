"""NLGR-G, the published generator (METHOD section 3): embeddings and a user encoder of its own."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from model.nets.d_attention import DAttention
from model.nets.embedding import FieldEmbedding
from model.nets.evaluator import Encoded
from model.nets.generator import Generator, GeneratorState
from model.nets.inputs import RequestTensors
from model.nets.layers import Dense, Head, masked_softmax
from model.nets.shape import Fields
from model.nets.user_encoder import UserEncoder


class NlgrGenerator(Generator):
    """h_j = MLP(X_j | e_l | e_u | u | PE_j) and g_k = MLP(c_k | e_m | e_u | u | PE_j)."""

    def __init__(self, fields: Fields, *, slots: int, width: int, hidden: int) -> None:
        super().__init__()
        self.width = width
        self.embedding = FieldEmbedding(fields.table_rows, width)
        self.user = UserEncoder(fields, width)
        self.relations = DAttention(len(fields.candidate), width)
        flat = width * len(fields.candidate)
        # PDU
        self.pdu_from_item = Dense(flat, hidden)
        self.pdu_from_list = Dense(width, hidden, bias=False)
        self.pdu_from_user = Dense(self.user.size, hidden, bias=False)
        self.pdu_from_position = nn.Parameter(torch.randn(slots, hidden) * 0.05)
        self.pdu_head = Head(hidden, 1)
        # CRU
        self.position = nn.Parameter(torch.randn(slots, flat) * 0.05)
        self.masked = nn.Parameter(torch.randn(flat) * 0.05)  # stands in the slot to be filled
        self.cru_query = Dense(flat, width, bias=False)
        self.cru_key = Dense(flat, width, bias=False)
        self.cru_value = Dense(flat, width, bias=False)
        self.cru_from_item = Dense(flat, hidden)
        self.cru_from_list = Dense(width, hidden, bias=False)
        self.cru_from_user = Dense(self.user.size, hidden, bias=False)
        self.cru_from_position = nn.Parameter(torch.randn(slots, hidden) * 0.05)
        self.cru_head = Head(hidden, 1)
        self.candidate_fields = fields.candidate

    def encode(self, request: RequestTensors, known: Encoded) -> GeneratorState:
        """See `Generator.encode`."""
        x = self.embedding(request.candidates, self.candidate_fields)  # (B, N, F, D)
        flat = x.flatten(-2)
        user = self.user(self.embedding, request)  # (B, size)
        in_list = torch.cat(
            [
                self.relations.project(x),
                self.cru_key(flat),
                self.cru_value(flat),
                self.pdu_from_item(flat),
            ],
            dim=-1,
        )
        return GeneratorState(
            in_list,
            (self.cru_from_item(flat),),
            self.pdu_from_user(user)[:, None, None, :],
            self.cru_from_user(user)[:, None, :],
            request.slot_valid.unsqueeze(1),
        )

    def see(self, state: GeneratorState, looked: Tensor) -> Tensor:
        """See `Generator.see`."""
        return looked

    def slot_logits(self, state: GeneratorState, looked: Tensor, seen: Tensor) -> Tensor:
        """See `Generator.slot_logits`."""
        size = self.relations.size
        e_l = self.relations.aggregate(looked[..., :size], state.between)
        first = looked[..., size + 2 * self.width :] + self.pdu_from_list(e_l).unsqueeze(-2)
        first = first + state.pdu_context + self.pdu_from_position
        return self.pdu_head(first).squeeze(-1)

    def item_logits(
        self,
        state: GeneratorState,
        seen: Tensor,
        lists: Tensor,
        slot: Tensor,
    ) -> Tensor:
        """See `Generator.item_logits`."""
        e_m = self._surroundings(seen, state.between, slot)
        first = self.cru_from_list(e_m) + slot @ self.cru_from_position + state.cru_context
        hidden = state.on_offer[0].unsqueeze(1) + first.unsqueeze(2)  # (B, L, N, hidden)
        return self.cru_head(hidden).squeeze(-1)

    def _surroundings(self, looked: Tensor, there: Tensor, slot: Tensor) -> Tensor:
        """e_m (B, L, D): self-attention's output at the slot, which a learned vector masks."""
        at = self.relations.size
        width = self.width
        key = looked[..., at : at + width] + self.cru_key(self.position)
        value = looked[..., at + width : at + 2 * width] + self.cru_value(self.position)
        here = self.masked + self.position  # (M, F * D): the masked slot, wherever it is
        chosen = slot.unsqueeze(-1)  # (B, L, M, 1)
        key = key + chosen * (self.cru_key(here) - key)
        value = value + chosen * (self.cru_value(here) - value)
        query = slot @ self.cru_query(here)  # (B, L, D)
        logits = (key @ query.unsqueeze(-1)).squeeze(-1) / math.sqrt(width)  # (B, L, M)
        weight = masked_softmax(logits, there)
        return (weight.unsqueeze(-2) @ value).squeeze(-2)
