"""NLGR-E, the evaluator as published (METHOD section 2), for E members at once.

It predicts, for each slot of a list, p_click and p_conversion = P(conversion | click).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.nets.d_attention import DAttention
from model.nets.embedding import FieldEmbedding
from model.nets.evaluator import Encoded, Evaluator
from model.nets.inputs import RequestTensors
from model.nets.layers import Dense, Head
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
        candidates = torch.cat([self.relations.project(x), self.from_item(x.flatten(-2))], dim=-1)
        context = self.from_user(self.user(self.embedding, request))  # (E, B, hidden)
        return Encoded(candidates, context[:, :, None, None, :])

    def score(self, encoded: Encoded, shown: Tensor, slot_valid: Tensor) -> tuple[Tensor, Tensor]:
        """See `Evaluator.score`."""
        there = slot_valid[:, None, :]  # (B, 1, M)
        split = self.relations.size
        e_l = self.relations.aggregate(shown[..., :split], there)  # (E, B, L, D)
        first = shown[..., split:] + self.from_list(e_l).unsqueeze(-2)
        first = first + encoded.context + self.from_position[:, None, None, : shown.shape[3]]
        p = torch.sigmoid(self.head(first)) * there.unsqueeze(-1).to(first.dtype)
        return p[..., 0], p[..., 1]
