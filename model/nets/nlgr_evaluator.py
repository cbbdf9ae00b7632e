"""NLGR-E, the evaluator as published (METHOD section 2), for E members at once.

It predicts, for each slot of a list, p_click and p_conversion = P(conversion | click).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.nets.d_attention import DAttention
from model.nets.embedding import FieldEmbedding
from model.nets.evaluator import Encoded, Evaluator
from model.nets.generator import first_rows
from model.nets.inputs import RequestTensors
from model.nets.layers import Dense, Head, SlotMasks
from model.nets.shape import Fields
from model.nets.user_encoder import UserEncoder


class NlgrEvaluator(Evaluator):
    """y_j = sigmoid(MLP(X_j | e_l | e_u | u | PE_j))."""

    def __init__(
        self, fields: Fields, *, slots: int, width: int, hidden: int, members: int
    ) -> None:
        super().__init__()
        self.members, self.slots, self.hidden = members, slots, hidden
        self.embedding = FieldEmbedding(fields.table_rows, width, members=members)
        self.user = UserEncoder(fields, width, members=members)
        self.relations = DAttention(len(fields.candidate), width, members=members)
        flat = width * len(fields.candidate)
        self.known, self.shared = self.relations.size + hidden, hidden
        self.from_item = Dense(flat, hidden, members=members)
        self.from_list = Dense(width, hidden, members=members, bias=False)
        self.from_user = Dense(self.user.size, hidden, members=members, bias=False)
        self.from_position = nn.Parameter(torch.randn(members, slots, hidden) * 0.05)
        self.head = Head(hidden, 2, members=members)
        self.candidate_fields = fields.candidate

    def encode(self, request: RequestTensors) -> Encoded:
        """See `Evaluator.encode`."""
        x = self.embedding(request.candidates, self.candidate_fields)  # (E, B, N, F, D)
        return self.encode_embedded(x.flatten(1, 2), self.user(self.embedding, request))

    def encode_embedded(self, x: Tensor, user: Tensor) -> Encoded:
        """Encode from embedded candidates (E, B * N, F, D) and encoded users (E, B, size)."""
        b, context = user.shape[1], self.from_user.of_requests(user).unsqueeze(2)
        if torch.compiler.is_compiling():
            return Encoded(self._as_one_product(x.flatten(-2), b), context)
        projected = self.relations.project(x)
        candidates = torch.cat([projected, self.from_item(x.flatten(-2))], dim=-1)
        return Encoded(candidates.unflatten(1, (b, -1)), context)

    def _as_one_product(self, x: Tensor, requests: int) -> Tensor:
        """(E, B * N, F * D) -> (E, B, N, Z): fields' own matrices as blocks of one.

        More arithmetic, most of it with zeros, and a tenth of the nodes.
        """
        assert self.from_item.bias is not None
        weight = torch.cat([self.relations.blocks(), self.from_item.weight], dim=-1)
        bias = functional.pad(self.from_item.bias, (self.relations.size, 0))
        return (x @ weight).unflatten(1, (requests, -1)) + bias[:, None, None, :]

    def score(self, encoded: Encoded, shown: Tensor, slot_valid: Tensor) -> tuple[Tensor, Tensor]:
        """See `Evaluator.score`."""
        there = slot_valid[:, None, :]  # (B, 1, M)
        split = self.relations.size
        e_l = self.relations.aggregate(shown[..., :split], there)  # (E, B, L, D)
        first = shown[..., split:] + self.from_list(e_l).unsqueeze(-2)
        first = first + encoded.context + self.from_position[:, None, None, : shown.shape[3]]
        p = torch.sigmoid(self.head(first)) * there.unsqueeze(-1).to(first.dtype)
        return p[..., 0], p[..., 1]

    def sharpen(self, factor: float) -> None:
        """See `Evaluator.sharpen`."""
        self.head.out.scale_output(0, factor)

    def score_in_graph(
        self, encoded: Encoded, lists: Tensor, slot_valid: Tensor
    ) -> tuple[Tensor, Tensor]:
        """`score` of lists (B, L, M) of places: what `weigh` wants is looked up as it wants it."""
        fields, width = self.relations.fields, self.relations.width
        known = encoded.candidates.flatten(1, 2)  # (E, B * N, Z)
        pairs, rest = known.split((2 * fields * width, width + self.hidden), dim=-1)
        members = torch.arange(self.members, device=lists.device).view(-1, 1, 1, 1)
        rows = lists + first_rows(encoded.candidates[0, ..., 0]) + members * known.shape[1]
        field = torch.arange(2 * fields, device=rows.device).view(2, 1, fields, 1, 1, 1)
        at = rows.unsqueeze(1) * (2 * fields) + field  # (2, E, F, B, L, M)
        looked = functional.embedding(at, pairs.reshape(-1, width))
        masks = SlotMasks.of(slot_valid.unsqueeze(1))
        weight = self.relations.weigh(looked[0] / math.sqrt(width), looked[1], masks)
        shown = functional.embedding(rows, rest.flatten(0, 1))  # (E, B, L, M, D + hidden)
        value, item = shown.split((width, self.hidden), dim=-1)
        e_l = weight @ value @ (self.from_list.weight / fields)[:, None, None]
        place = encoded.context + self.from_position[:, None, None]  # (E, B, 1, M, hidden)
        logits = self.head((item + e_l + place).flatten(1, 3)).unflatten(1, lists.shape)
        p = torch.sigmoid(logits) * slot_valid[:, None, :, None].to(value.dtype)
        return p[..., 0], p[..., 1]
