"""NLGR-E, the evaluator as published, for E members at once.

It predicts, for each slot of a list, p_click and p_conversion = P(conversion | click).
See docs/explanation/method.md#published-evaluator.
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
from model.nets.evaluators.abstract_evaluator import EncodedRequest, Evaluator
from model.nets.field_layout import FieldLayout
from model.nets.generators.abstract_generator import row_offsets
from model.nets.request_tensors import RequestTensors


class NlgrEvaluator(Evaluator):
    """y_j = sigmoid(MLP(X_j | e_l | e_u | u | PE_j))."""

    def __init__(
        self, fields: FieldLayout, *, slots: int, width: int, hidden: int, members: int
    ) -> None:
        super().__init__()
        self.members, self.slots, self.hidden = members, slots, hidden
        self.embedding = FieldEmbedding(fields.num_embeddings, width, members=members)
        self.user_encoder = UserEncoder(fields, width, members=members)
        self.d_attention = DAttention(len(fields.candidate), width, members=members)
        flat = width * len(fields.candidate)
        self.candidate_width, self.context_width = (
            self.d_attention.projection_width + hidden,
            hidden,
        )
        self.item_projection = Dense(flat, hidden, members=members)
        self.list_projection = Dense(width, hidden, members=members, bias=False)
        self.user_projection = Dense(
            self.user_encoder.output_width, hidden, members=members, bias=False
        )
        self.position_embedding = nn.Parameter(torch.randn(members, slots, hidden) * 0.05)
        self.head = SummedInputMlp(hidden, 2, members=members)
        self.candidate_fields = fields.candidate

    def encode(self, request: RequestTensors) -> EncodedRequest:
        """See `Evaluator.encode`."""
        x = self.embedding(request.candidates, self.candidate_fields)  # (E, B, N, F, D)
        return self.encode_embedded(x.flatten(1, 2), self.user_encoder(self.embedding, request))

    def encode_embedded(self, x: Tensor, user: Tensor) -> EncodedRequest:
        """Encode from embedded candidates (E, B * N, F, D) and encoded users (E, B, size)."""
        b, context = user.shape[1], self.user_projection.project_requests(user).unsqueeze(2)
        if torch.compiler.is_compiling():
            return EncodedRequest(self._fused_item_projection(x.flatten(-2), b), context)
        projected = self.d_attention.project(x)
        candidates = torch.cat([projected, self.item_projection(x.flatten(-2))], dim=-1)
        return EncodedRequest(candidates.unflatten(1, (b, -1)), context)

    def _fused_item_projection(self, x: Tensor, requests: int) -> Tensor:
        """Project (E, B * N, F * D) to (E, B, N, Z) by one block-diagonal matrix.

        More arithmetic, most of it with zeros, but a tenth of the graph nodes.
        """
        assert self.item_projection.bias is not None
        weight = torch.cat(
            [self.d_attention.block_diagonal_projection(), self.item_projection.weight], dim=-1
        )
        bias = functional.pad(self.item_projection.bias, (self.d_attention.projection_width, 0))
        return (x @ weight).unflatten(1, (requests, -1)) + bias[:, None, None, :]

    def score(
        self, encoded: EncodedRequest, slot_encodings: Tensor, slot_valid: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `Evaluator.score`."""
        there = slot_valid[:, None, :]  # (B, 1, M)
        split = self.d_attention.projection_width
        e_l = self.d_attention.embed_lists(slot_encodings[..., :split], there)  # (E, B, L, D)
        first = slot_encodings[..., split:] + self.list_projection(e_l).unsqueeze(-2)
        first = (
            first
            + encoded.context
            + self.position_embedding[:, None, None, : slot_encodings.shape[3]]
        )
        p = torch.sigmoid(self.head(first)) * there.unsqueeze(-1).to(first.dtype)
        return p[..., 0], p[..., 1]

    def scale_click_logits(self, factor: float) -> None:
        """See `Evaluator.scale_click_logits`."""
        self.head.output_layer.scale_output_column(0, factor)

    def score_for_export(
        self, encoded: EncodedRequest, lists: Tensor, slot_valid: Tensor
    ) -> tuple[Tensor, Tensor]:
        """`score` of lists (B, L, M) of candidate indices, with fewer graph nodes."""
        fields, width = self.d_attention.fields, self.d_attention.width
        known = encoded.candidates.flatten(1, 2)  # (E, B * N, Z)
        pairs, rest = known.split((2 * fields * width, width + self.hidden), dim=-1)
        members = torch.arange(self.members, device=lists.device).view(-1, 1, 1, 1)
        rows = lists + row_offsets(encoded.candidates[0, ..., 0]) + members * known.shape[1]
        field = torch.arange(2 * fields, device=rows.device).view(2, 1, fields, 1, 1, 1)
        at = rows.unsqueeze(1) * (2 * fields) + field  # (2, E, F, B, L, M)
        looked = functional.embedding(at, pairs.reshape(-1, width))
        masks = SlotMasks.from_valid(slot_valid.unsqueeze(1))
        weight = self.d_attention.value_weights(looked[0] / math.sqrt(width), looked[1], masks)
        shown = functional.embedding(rows, rest.flatten(0, 1))  # (E, B, L, M, D + hidden)
        value, item = shown.split((width, self.hidden), dim=-1)
        e_l = weight @ value @ (self.list_projection.weight / fields)[:, None, None]
        place = encoded.context + self.position_embedding[:, None, None]  # (E, B, 1, M, hidden)
        logits = self.head((item + e_l + place).flatten(1, 3)).unflatten(1, lists.shape)
        p = torch.sigmoid(logits) * slot_valid[:, None, :, None].to(value.dtype)
        return p[..., 0], p[..., 1]
