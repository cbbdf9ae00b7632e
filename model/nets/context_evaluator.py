"""The context evaluator: every slot sees the list around it, and examination stands apart.

Built because a search exploits whatever the published net cannot tell apart (METHOD section 7):
its list embedding does not change when slots are permuted.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.nets.embedding import FieldEmbedding
from model.nets.evaluator import Encoded, Evaluator
from model.nets.inputs import RequestTensors
from model.nets.layers import Dense, Norm, attend
from model.nets.past_items import PastItems
from model.nets.shape import Fields
from model.nets.user_encoder import UserEncoder


class ContextEvaluator(Evaluator):
    """p_click_j = examined_j * sigmoid(relevance_j), relevance from a transformer over slots.

    A candidate brings its embeddings, factor products with the user (one a field), and what the
    user did with similar items (target attention over past items).
    """

    def __init__(  # noqa: PLR0913 plain numbers, each its own
        self,
        fields: Fields,
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
        self.embedding = FieldEmbedding(fields.table_rows, width, members=members)
        self.factors = FieldEmbedding(fields.table_rows, 2 * width, members=members)
        self.user = UserEncoder(fields, width, members=members)
        flat = width * len(fields.candidate)
        self.history_query = Dense(flat, width, members=members, bias=False)
        self.history_key = Dense(width * len(fields.session), width, members=members, bias=False)
        self.history_value = Dense(width * len(fields.session), width, members=members)
        self.known = self.shared = hidden
        self.from_item = Dense(flat + width + len(fields.candidate), hidden, members=members)
        self.from_user = Dense(self.user.size, hidden, members=members, bias=False)
        self.from_position = nn.Parameter(torch.randn(members, slots, hidden) * 0.05)
        self.blocks = nn.ModuleList(
            SlotBlock(hidden, slots, members=members) for _ in range(layers)
        )
        self.norm = Norm(hidden, members=members)
        self.out = Dense(hidden, 2, members=members)
        self.examined = nn.Parameter(torch.full((members, slots), 2.0))
        self.candidate_fields = fields.candidate

    def tables(self) -> list[nn.Parameter]:
        """See `Evaluator.tables`."""
        return [self.embedding.table, self.factors.table]

    def encode(self, request: RequestTensors) -> Encoded:
        """See `Evaluator.encode`."""
        x = self.embedding(request.candidates, self.candidate_fields)
        x = x.flatten(-2)  # (E, B, N, F * D)
        user_factors = self.factors(request.user, self.user.user_fields).sum(dim=-2)  # (E, B, 2D)
        item_factors = self.factors(request.candidates, self.candidate_fields)  # (E, B, N, F, 2D)
        products = (item_factors @ user_factors[:, :, None, :, None]).squeeze(-1)  # (E, B, N, F)
        past, items = self.user.look_back(self.embedding, request)
        history = self._history(x, past, items, request.sess_valid)
        parts = torch.cat([x, history, products], dim=-1)
        user = self.user(self.embedding, request, (past, items))
        context = self.from_user.of_requests(user).unsqueeze(2)  # (E, B, 1, 1, hidden)
        return Encoded(self.from_item(self.dropout(parts)), context)

    def _history(self, x: Tensor, past: PastItems, items: Tensor, valid: Tensor) -> Tensor:
        """Target attention (E, B, N, D): what the user did with items like this one."""
        flat = past.flat(items)
        key, value = past.spread(self.history_key(flat)), past.spread(self.history_value(flat))
        return attend(self.history_query(x), key, value, valid.flatten(1))

    def score(self, encoded: Encoded, shown: Tensor, slot_valid: Tensor) -> tuple[Tensor, Tensor]:
        """See `Evaluator.score`."""
        there = slot_valid[:, None, :]  # (B, 1, M)
        tokens = shown + encoded.context + self.from_position[:, None, None]
        for block in self.blocks:
            tokens = block(tokens, there)
        logits = self.out(self.dropout(torch.relu(self.norm(tokens))))  # (E, B, L, M, 2)
        examined = torch.sigmoid(self.examined)[:, None, None, :]
        weight = there.to(logits.dtype)
        p = torch.sigmoid(logits)
        return p[..., 0] * examined * weight, p[..., 1] * weight

    def sharpen(self, factor: float) -> None:
        """See `Evaluator.sharpen`."""
        self.out.scale_output(0, factor)


class SlotBlock(nn.Module):
    """One pre-norm transformer block over the slots of a list, with a learned bias a slot pair."""

    def __init__(self, hidden: int, slots: int, *, members: int) -> None:
        super().__init__()
        self.before = Norm(hidden, members=members)
        self.query = Dense(hidden, hidden, members=members, bias=False)
        self.key = Dense(hidden, hidden, members=members, bias=False)
        self.value = Dense(hidden, hidden, members=members, bias=False)
        self.pair = nn.Parameter(torch.zeros(members, 1, 1, slots, slots))
        self.mix = nn.Parameter(torch.randn(members, 1, 1, slots, slots) * 0.05)
        self.merge = Dense(2 * hidden, hidden, members=members)
        self.middle = Norm(hidden, members=members)
        self.wide = Dense(hidden, 2 * hidden, members=members)
        self.narrow = Dense(2 * hidden, hidden, members=members)

    def forward(self, tokens: Tensor, there: Tensor) -> Tensor:
        """(E, B, L, M, hidden) -> the same; `there` (B, 1, M) masks slots."""
        x = self.before(tokens)
        query, key, value = self.query(x), self.key(x), self.value(x)
        seen = attend(query, key, value, there, bias=self.pair)
        weight = there.to(x.dtype)[:, :, None, :]  # (B, 1, 1, M)
        placed = (self.mix * weight) @ value  # weights by slot pair alone: neighbouring slots
        tokens = tokens + self.merge(torch.cat([seen, placed], dim=-1))
        return tokens + self.narrow(torch.relu(self.wide(self.middle(tokens))))
