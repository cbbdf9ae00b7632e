"""What is known of the user: past lists with feedback -> e_u, profile and context -> u."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.nets.d_attention import DAttention
from model.nets.embedding import FieldEmbedding, pooling_matrix
from model.nets.inputs import RequestTensors
from model.nets.layers import Dense, attend, masked_mean
from model.nets.shape import Fields


class UserEncoder(nn.Module):
    """(e_u | u) of METHOD section 2: D-Attention inside each session, self-attention across them.

    A user without any session gets a learned vector in place of e_u.
    """

    pool_user: Tensor
    pool_session: Tensor

    def __init__(self, fields: Fields, width: int, *, members: int | None = None) -> None:
        super().__init__()
        lead = () if members is None else (members,)
        self.members = members
        self.session = DAttention(len(fields.session), width, members=members)
        self.query = Dense(width, width, members=members, bias=False)
        self.key = Dense(width, width, members=members, bias=False)
        self.value = Dense(width, width, members=members, bias=False)
        self.newcomer = nn.Parameter(torch.randn(*lead, width) * 0.05)
        self.register_buffer("pool_user", pooling_matrix(fields.user), persistent=False)
        self.register_buffer("pool_session", pooling_matrix(fields.session), persistent=False)
        self.size = width * (1 + len(fields.user))

    def forward(self, embedding: FieldEmbedding, request: RequestTensors) -> Tensor:
        """Return (E?, B, size): e_u and u side by side."""
        items = embedding(request.sessions, self.pool_session)  # (E?, B, H, M, Fs, D)
        lists = self.session.aggregate(self.session.project(items), request.sess_valid)
        there = request.sess_valid.any(dim=-1)  # (B, H)
        related = attend(self.query(lists), self.key(lists), self.value(lists), there)
        e_u = masked_mean(related, there)  # (E?, B, D)
        known = there.any(dim=-1).unsqueeze(-1)  # (B, 1)
        newcomer = self.newcomer if self.members is None else self.newcomer.unsqueeze(1)
        e_u = torch.where(known, e_u, newcomer)
        profile = embedding(request.user, self.pool_user).flatten(-2)  # (E?, B, Fu * D)
        return torch.cat([e_u, profile], dim=-1)
