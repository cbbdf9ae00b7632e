"""NLGR-G, the published generator, with its own embeddings and user encoder.

Source: docs/explanation/method.md#published-generator.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.nets.blocks.d_attention import DAttention
from model.nets.blocks.field_embedding import FieldEmbedding
from model.nets.blocks.layers import Dense, SlotMasks, SummedInputMlp
from model.nets.blocks.user_encoder import UserEncoder
from model.nets.evaluators.abstract_evaluator import EncodedRequest
from model.nets.field_layout import FieldLayout
from model.nets.generators.abstract_generator import (
    Generator,
    GeneratorState,
    TensorTuple,
    row_offsets,
)
from model.nets.request_tensors import RequestTensors


class NlgrGenerator(Generator):
    """h_j = MLP(X_j | e_l | e_u | u | PE_j) and g_k = MLP(c_k | e_m | e_u | u | PE_j)."""

    def __init__(self, fields: FieldLayout, *, slots: int, width: int, hidden: int) -> None:
        super().__init__()
        self.width, self.hidden = width, hidden
        self.embedding = FieldEmbedding(fields.num_embeddings, width)
        self.user_encoder = UserEncoder(fields, width)
        self.d_attention = DAttention(len(fields.candidate), width)
        flat = width * len(fields.candidate)
        # PDU
        self.pdu_item_projection = Dense(flat, hidden)
        self.pdu_list_projection = Dense(width, hidden, bias=False)
        self.pdu_user_projection = Dense(self.user_encoder.output_width, hidden, bias=False)
        self.pdu_position_embedding = nn.Parameter(torch.randn(slots, hidden) * 0.05)
        self.pdu_head = SummedInputMlp(hidden, 1)
        # CRU
        self.slot_embedding = nn.Parameter(torch.randn(slots, flat) * 0.05)
        self.mask_token = nn.Parameter(torch.randn(flat) * 0.05)  # input of the slot to be filled
        self.cru_query = Dense(flat, width, bias=False)
        self.cru_key = Dense(flat, width, bias=False)
        self.cru_value = Dense(flat, width, bias=False)
        self.cru_item_projection = Dense(flat, hidden)
        self.cru_list_projection = Dense(width, hidden, bias=False)
        self.cru_user_projection = Dense(self.user_encoder.output_width, hidden, bias=False)
        self.cru_position_embedding = nn.Parameter(torch.randn(slots, hidden) * 0.05)
        self.cru_head = SummedInputMlp(hidden, 1)
        self.candidate_fields = fields.candidate

    def encode(self, request: RequestTensors, evaluator_encoding: EncodedRequest) -> GeneratorState:
        """See `Generator.encode`."""
        x = self.embedding(request.candidates, self.candidate_fields).flatten(0, 1)
        return self.encode_embedded(request, x, self.user_encoder(self.embedding, request))

    def encode_embedded(self, request: RequestTensors, x: Tensor, user: Tensor) -> GeneratorState:
        """Encode from embedded candidates (B * N, F, D) and the encoded users (B, size).

        One matrix product computes the inputs of both units, with the user's part, per candidate.
        """
        items, offset, users = self._fused_projections()
        projected = (x.flatten(1) @ items).unflatten(0, (user.shape[0], -1))  # (B, N, Z)
        projected = projected + torch.addmm(offset, user, users).unsqueeze(1)
        pdu, cru, cru_item = projected.split(
            (2 * self.hidden, self.width + self.hidden, self.hidden), -1
        )
        by_slot = items[:, 2 * self.hidden : -self.hidden]  # for an item or a slot position
        masked = (self.mask_token @ by_slot).unsqueeze(0)
        query = (
            (self.mask_token + self.slot_embedding) @ self.cru_query.weight / math.sqrt(self.width)
        )
        pairs = self.d_attention.scaled_query_key(x.transpose(0, 1)).flatten(
            0, 1
        )  # (F * B * N, 2D)
        cru = torch.cat([cru.flatten(0, 1), masked])  # (B * N + 1, D + hidden)
        return GeneratorState(
            row_offsets(request.cand_valid),
            (pairs, pdu.flatten(0, 1), cru),
            (cru_item.unsqueeze(1),),  # (B, 1, N, hidden)
            (
                *SlotMasks.from_valid(request.slot_valid.unsqueeze(1)),
                self.slot_embedding @ by_slot,  # (M, D + hidden)
                torch.cat([query, self.cru_position_embedding], dim=-1),  # (M, D + hidden)
                torch.full((1, 1, 1), x.shape[0], device=x.device),  # the row of the masked item
            ),
        )

    def _fused_projections(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weights (F * D, Z), bias (Z,) and user weights (output_width, Z) for one candidate.

        Z: PDU item | PDU value | CRU key | CRU value | CRU item. The projections of values are
        linear, so they are applied before the attention sums over the list.
        """
        pdu_item, cru_item = self.pdu_item_projection, self.cru_item_projection
        value = self.d_attention.value @ self.pdu_list_projection.weight / self.d_attention.fields
        surround = self.cru_value.weight @ self.cru_list_projection.weight
        rest = pdu_item.weight.shape[0] - self.width
        weights = [pdu_item.weight, functional.pad(value, (0, 0, 0, rest)), self.cru_key.weight]
        items = torch.cat([*weights, surround, cru_item.weight], dim=-1)
        assert pdu_item.bias is not None and cru_item.bias is not None  # noqa: PT018
        between = 2 * self.hidden + self.width
        offset = torch.cat([functional.pad(pdu_item.bias, (0, between)), cru_item.bias])
        user = functional.pad(self.pdu_user_projection.weight, (0, between))
        return items, offset, torch.cat([user, self.cru_user_projection.weight], dim=-1)

    def encode_lists(self, state: GeneratorState, rows: Tensor) -> TensorTuple:
        """Return queries and keys (F, B, L, M, 2D) and PDU inputs (B, L, M, ..) by slot."""
        pairs, pdu, _ = state.slot_tables
        fields = torch.arange(self.d_attention.fields, device=rows.device).view(-1, 1, 1, 1)
        by_field = rows + fields * pdu.shape[0]
        return functional.embedding(by_field, pairs), functional.embedding(rows, pdu)

    def slot_logits(self, state: GeneratorState, list_encoding: TensorTuple) -> Tensor:
        """See `Generator.slot_logits`."""
        pairs, gathered = list_encoding
        item, value = gathered.chunk(2, dim=-1)
        masks = SlotMasks(*state.list_constants[:3])
        query, key = pairs.chunk(2, dim=-1)
        e_l = self.d_attention.value_weights(query, key, masks) @ value
        first = item + e_l + self.pdu_position_embedding
        return self.pdu_head.single_logit(first)

    def item_logits(
        self, state: GeneratorState, list_encoding: TensorTuple, rows: Tensor, edited_slot: Tensor
    ) -> Tensor:
        """See `Generator.item_logits`; a learned token fills the edited slot."""
        logit_bias, _, _, by_slot, by_edited_slot, masked = state.list_constants
        hidden = rows.scatter(-1, edited_slot, masked.expand(edited_slot.shape))
        looked_up = functional.embedding(hidden, state.slot_tables[2])
        gathered = looked_up + by_slot  # (B, L, M, D + hidden)
        key, value = gathered.split((self.width, self.hidden), dim=-1)
        query, position = functional.embedding(edited_slot, by_edited_slot).split(
            (self.width, self.hidden), -1
        )
        weight = torch.softmax(query @ key.transpose(-1, -2) + logit_bias[..., :1, :], dim=-1)
        first = weight @ value + position  # (B, L, 1, hidden)
        return self.cru_head.single_logit(state.candidate_tables[0] + first)
