"""User encoder: e_u from past lists with feedback, u from profile and context."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from model.nets.blocks.d_attention import DAttention
from model.nets.blocks.field_embedding import FieldEmbedding
from model.nets.blocks.layers import Dense, SlotMasks, masked_attention, masked_mean
from model.nets.blocks.unique_history import UniqueHistory
from model.nets.field_layout import FieldLayout
from model.nets.request_tensors import RequestTensors


class UserEncoder(nn.Module):
    """Encode (e_u | u): D-Attention inside each session, self-attention across sessions.

    For a user without sessions e_u is a learned vector. See
    docs/explanation/method.md#published-evaluator.
    """

    def __init__(self, fields: FieldLayout, width: int, *, members: int | None = None) -> None:
        super().__init__()
        lead = () if members is None else (members,)
        self.members = members
        self.session_attention = DAttention(len(fields.session), width, members=members)
        self.query = Dense(width, width, members=members, bias=False)
        self.key = Dense(width, width, members=members, bias=False)
        self.value = Dense(width, width, members=members, bias=False)
        self.no_history_embedding = nn.Parameter(torch.randn(*lead, width) * 0.05)
        self.user_fields = fields.user
        self.session_fields = fields.session
        self.output_width = width * (1 + len(fields.user))

    def embed_history(
        self, embedding: FieldEmbedding, request: RequestTensors
    ) -> tuple[UniqueHistory, Tensor]:
        """Past items and their embeddings, (E?, U, Fs, D) or (E?, B, H, M, Fs, D)."""
        past = UniqueHistory.from_sessions(request.sessions)
        return past, embedding(past.rows, self.session_fields)

    def forward(
        self,
        embedding: FieldEmbedding,
        request: RequestTensors,
        history: tuple[UniqueHistory, Tensor] | None = None,
    ) -> Tensor:
        """Return e_u and u concatenated, (E?, B, size); `history` is from `embed_history`."""
        if torch.compiler.is_compiling():
            e_u = self._in_graph(embedding, request)
        else:
            past, items = history or self.embed_history(embedding, request)
            lists = self._lists(past, items, request.sess_valid)
            valid = request.sess_valid.any(dim=-1)  # (B, H)
            attended = masked_attention(
                self.query(lists), self.key(lists), self.value(lists), valid
            )
            has_history = valid.any(dim=-1).unsqueeze(-1)  # (B, 1)
            default = (
                self.no_history_embedding
                if self.members is None
                else self.no_history_embedding.unsqueeze(1)
            )
            e_u = torch.where(has_history, masked_mean(attended, valid), default)  # (E?, B, D)
        profile = embedding(request.user, self.user_fields).flatten(-2)  # (E?, B, Fu * D)
        return torch.cat([e_u, profile], dim=-1)

    def _lists(self, past: UniqueHistory, items: Tensor, valid: Tensor) -> Tensor:
        """Embed the sessions, (E?, B, H, D)."""
        projected = self.session_attention.project(items)
        if past.inverse is None:
            return self.session_attention.embed_lists(projected, valid)
        b, h, m = valid.shape
        lists = self.session_attention.embed_indexed_lists(
            projected, past.inverse.reshape(b * h, m), valid.reshape(b * h, m)
        )
        return lists.unflatten(-2, (b, h))

    def _in_graph(self, embedding: FieldEmbedding, request: RequestTensors) -> Tensor:
        """e_u (E?, B, D) with few graph nodes.

        Attention maps are averaged before they weigh values. The projections of a session's value
        are applied after the sum over its slots.
        """
        b, h, m = request.sess_valid.shape
        width, query_key, projections = self.session_attention.width, *self._fused_weights()
        x = embedding.forward_for_export(
            request.sessions, self.session_fields
        )  # (E, F, B * H * M, D)
        query, key = (x @ query_key).unflatten(2, (-1, 1, m)).chunk(2, dim=-1)
        masks = SlotMasks.from_valid(request.sess_valid.reshape(-1, 1, m))
        weight = self.session_attention.value_weights(query, key, masks)  # (E, B * H, 1, 1, M)
        ids = x[:, 0].unflatten(1, (-1, 1, m))
        lists = (weight @ ids).view(-1, b, h, width)
        query, key, value = (lists @ projections).split(width, dim=-1)
        across = SlotMasks.from_valid(masks.num_valid.view(b, h) > 0.0)
        maps = torch.softmax(query @ key.transpose(-1, -2) + across.logit_bias, dim=-1)
        default = self.no_history_embedding.view(-1, 1, 1, width)
        e_u = torch.where(
            across.num_valid > 0.0, across.mean_weight @ maps @ value, default
        ).squeeze(-2)
        return e_u.squeeze(0) if self.members is None else e_u

    def _fused_weights(self) -> tuple[Tensor, Tensor]:
        """Queries and keys within sessions (E, F, D, 2D); projections across (E, 1, D, 3D)."""
        scale = math.sqrt(self.session_attention.width)
        within = self.session_attention
        query_key = torch.cat([within.query / scale, within.key], dim=-1)
        across = (self.query.weight / scale, self.key.weight, self.value.weight)
        projections = within.value @ torch.cat(across, dim=-1) / within.fields
        if self.members is None:
            return query_key.unsqueeze(0), projections[None, None]
        return query_key, projections.unsqueeze(1)
