"""The pair evaluator: relevance of each item, plus what every other slot of the list adds to it.

Built because a search goes where a flexible net guesses (METHOD section 8). Lists enter through
sums over pairs of slots alone, so what was learned on the lists that were shown holds for others.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.nets.embedding import FieldEmbedding, Spans, shares
from model.nets.evaluator import Encoded, Evaluator
from model.nets.inputs import RequestTensors
from model.nets.layers import Dense, attend
from model.nets.past_items import PastItems
from model.nets.shape import Fields

ALONE = slice(2)  # of what is known of a candidate: relevance, and the logit of a conversion
_RELEVANCE_WAYS = 2  # in which another slot's relevance acts: on appeal, and on being looked at
_FEEDBACK_FIELDS = 2  # of a session: clicked and converted stand behind the item's own fields
STILL = 1e-3  # an item without values in a field is like nothing: its vector stays near zero


class PairEvaluator(Evaluator):
    """p_click_j = examined_j * sigmoid(relevance_j + sum over other slots l of what l adds).

    Relevance is computed once a candidate: factor products with the user, a small MLP, what the
    user did with similar items. Alikeness is the cosine of learned embeddings, one a field. A
    slot's place acts through examination alone: a bias of its own would be learned from the items
    that upstream puts there, and would promise as much for any other item.
    A pair of slots has the weight of its distance and one of its own, which decays: what holds at
    any place of a list is learned from all of them (METHOD section 8).
    Without `interplay` the sum is left out: for labels that no other item of the list moves.
    """

    keeps_affinity = True
    others: Tensor
    distance: Tensor  # (M, M): of slot l from slot j, from 0

    def __init__(  # noqa: PLR0913 plain numbers, each its own
        self,
        fields: Fields,
        *,
        slots: int,
        width: int,
        hidden: int,
        members: int,
        dropout: float,
        factors: int,
        interplay: bool = True,
    ) -> None:
        super().__init__()
        self.members, self.slots, self.interplay = members, slots, interplay
        self.adds_lists = interplay
        self.dropout = nn.Dropout(dropout)
        candidate, session = len(fields.candidate), len(fields.session)
        rows = fields.table_rows
        self.embedding = FieldEmbedding(rows, width, members=members)
        self.factors = FieldEmbedding(rows, factors, members=members, scale=0.1)
        self.bias = FieldEmbedding(rows, 1, members=members, scale=0.01)
        self.history_query = Dense(width * candidate, width, members=members, bias=False)
        self.history_key = Dense(width * session, width, members=members, bias=False)
        self.history_value = Dense(width * session, width, members=members)
        self.from_item = Dense(width * (candidate + 1), hidden, members=members)
        self.from_user = Dense(width * len(fields.user), hidden, members=members, bias=False)
        self.out = Dense(hidden, 2, members=members)
        self.taste = nn.Parameter(torch.ones(members, 1, 1, candidate))
        first, last = _item_fields(session)
        self.item_fields, heads = fields.candidate[first:last], last - first
        self.known, self.shared = 2, 1
        if interplay:
            self.known += heads * factors
            self.kinds = FieldEmbedding(rows, factors, members=members, scale=1.0)
            ways = heads + _RELEVANCE_WAYS
            self.apart = nn.Parameter(torch.zeros(members, ways, slots, slots))
            self.by_distance = nn.Parameter(torch.zeros(members, ways, 2 * slots - 1))
        self.converted = nn.Parameter(torch.zeros(members, slots))
        self.examined = nn.Parameter(torch.full((members, slots), 2.0))
        self.candidate_fields = fields.candidate
        self.own_fields = fields.candidate[: session - _FEEDBACK_FIELDS]
        self.user_fields = fields.user
        self.session_fields = fields.session
        self.register_buffer("others", 1.0 - torch.eye(slots), persistent=False)
        place = torch.arange(slots)
        self.register_buffer("distance", place - place[:, None] + slots - 1, persistent=False)

    def tables(self) -> list[nn.Parameter]:
        """See `Evaluator.tables`."""
        return [self.embedding.table, self.factors.table]

    def structure(self) -> list[nn.Parameter]:
        """See `Evaluator.structure`."""
        pairs = [self.by_distance] if self.interplay else []
        return [self.taste, *pairs, self.examined, self.converted]

    def deviations(self) -> list[nn.Parameter]:
        """See `Evaluator.deviations`."""
        return [self.apart] if self.interplay else []

    @property
    def contrast(self) -> Tensor:
        """(E, j, l): what the relevance at slot l adds to the appeal of slot j."""
        return self._pairs(0)

    @property
    def attention(self) -> Tensor:
        """(E, j, l): what it adds to slot j's being looked at."""
        return self._pairs(1)

    @property
    def near(self) -> Tensor:
        """(E, h, j, l): what likeness to slot l in field h adds to the appeal of slot j."""
        return self._pairs(slice(_RELEVANCE_WAYS, None))

    def _pairs(self, way: int | slice) -> Tensor:
        return self.apart[:, way] + self.by_distance[:, way][..., self.distance]

    def biases(self) -> list[nn.Parameter]:
        """See `Evaluator.biases`."""
        return [self.bias.table]

    def encode(self, request: RequestTensors) -> Encoded:
        """See `Evaluator.encode`; nothing of a list is left for the context."""
        x = self.embedding(request.candidates, self.candidate_fields)
        x = x.flatten(-2)  # (E, B, N, F * D)
        user = self.embedding(request.user, self.user_fields).flatten(-2)  # (E, B, Fu * D)
        parts = self.dropout(torch.cat([x, self._history(x, request)], dim=-1))
        hidden = torch.relu(self.from_item(parts) + self.from_user(user).unsqueeze(2))
        logits = self.out(self.dropout(hidden))  # (E, B, N, 2)
        products = self._factor_products(request.candidates, request.user, self.candidate_fields)
        click = logits[..., :1] + products.unsqueeze(-1)
        made = torch.cat([click, logits[..., 1:]], dim=-1)
        if self.interplay:
            alike = self._kinds(request.candidates)  # (E, B, N, h * K)
            made = torch.cat([made, alike], dim=-1)
        return Encoded(made, torch.zeros_like(made[:, :, :1, None, :1]))

    def _kinds(self, rows: Tensor) -> Tensor:
        """(E, B, N, h * K): what the item's own fields say it is like, of length 1 each."""
        at = self.item_fields[0][0]
        own = rows[..., at : at + sum(width for _, width in self.item_fields)]
        kinds = self.kinds(own, tuple((first - at, width) for first, width in self.item_fields))
        length = torch.linalg.vector_norm(kinds, dim=-1, keepdim=True).clamp(min=STILL)
        return (kinds / length).flatten(-2)

    def affinity(self, request: RequestTensors) -> Tensor:
        """See `Evaluator.affinity`: products and biases of the fields that sessions keep, too."""
        first, width = self.own_fields[-1]
        own = request.candidates[..., : first + width]
        return self._factor_products(own, request.user, self.own_fields)

    def _factor_products(self, candidates: Tensor, users: Tensor, fields: Spans) -> Tensor:
        """(E, B, N): factors of the user times those of each field, and the biases of all.

        By column, since a field's mean times the user is the sum of its columns' shares of it.
        """
        share = shares(candidates, fields)  # (B, N, C)
        share_user = shares(users, self.user_fields)
        user = self.factors.columns(users, share_user).sum(dim=-2)  # (B, E * K)
        item = functional.embedding(candidates, self.factors.table)  # (B, N, C, E * K)
        members = torch.eye(self.members, device=item.device).repeat_interleave(
            self.factors.width, dim=0
        )  # (E * K, E): each member's factors meet its own
        products = item.flatten(1, 2) @ (user.unsqueeze(-1) * members)  # (B, N * C, E)
        taste = torch.cat(
            [
                self.taste[:, 0, 0, field].unsqueeze(0).expand(width, -1)
                for field, (_, width) in enumerate(fields)
            ]
        )  # (C, E)
        bias = functional.embedding(candidates, self.bias.table)  # (B, N, C, E)
        each = products.unflatten(1, item.shape[1:3]) * taste + bias
        own = self.bias.columns(users, share_user).sum(dim=-2)  # (B, E)
        total = (each * share.unsqueeze(-1)).sum(dim=-2) + own.unsqueeze(1)  # (B, N, E)
        return total.movedim(-1, 0)

    def _history(self, x: Tensor, request: RequestTensors) -> Tensor:
        """Target attention (E, B, N, D): what the user did with items like this one."""
        past = PastItems.of(request.sessions)
        flat = past.flat(self.embedding(past.rows, self.session_fields))
        key, value = past.spread(self.history_key(flat)), past.spread(self.history_value(flat))
        return attend(self.history_query(x), key, value, request.sess_valid.flatten(1))

    def score(self, encoded: Encoded, shown: Tensor, slot_valid: Tensor) -> tuple[Tensor, Tensor]:
        """See `Evaluator.score`."""
        weight = slot_valid.unsqueeze(1).to(shown.dtype)  # (B, 1, M)
        click, examined = shown[..., 0], self.examined[:, None, None, :]
        if self.interplay:
            added, attention = self._beside(shown, weight)
            click, examined = click + added, examined + attention
        conversion = shown[..., 1] + self.converted[:, None, None, :]
        p_click = torch.sigmoid(click) * torch.sigmoid(examined) * weight
        return p_click, torch.sigmoid(conversion) * weight

    @torch.no_grad()
    def sharpen(self, factor: float) -> None:
        """See `Evaluator.sharpen`. Relevance and likeness count more, what they do elsewhere not.

        Contrast is linear in relevance and grows with it, as it should; examination must not.
        """
        self.out.scale_output(0, factor)
        self.taste.mul_(factor)
        self.bias.table.mul_(factor)
        if self.interplay:
            for pairs in (self.apart, self.by_distance):
                pairs[:, 1] /= factor
                pairs[:, _RELEVANCE_WAYS:] *= factor

    def added(self, encoded: Encoded, shown: Tensor, slot_valid: Tensor) -> Tensor:
        """See `Evaluator.added`."""
        return self._beside(shown, slot_valid.unsqueeze(1).to(shown.dtype))[0]

    def _beside(self, shown: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """(E, B, L, M) twice: what the other slots add to appeal, and to being looked at."""
        real = shown * weight.unsqueeze(-1)
        pairs = torch.cat([self.contrast * self.others, self.attention * self.others], dim=1)
        told = (pairs[:, None, None] @ real[..., :1]).squeeze(-1)  # (E, B, L, 2 * M)
        contrast, attention = told.chunk(2, dim=-1)
        return contrast + self._alike(real[..., 2:]), attention

    def _alike(self, alike: Tensor) -> Tensor:
        """(E, B, L, M): sum over slots l and fields h of near_hjl cosine_h(j, l).

        The products with `near` of all fields are one, of a matrix that mixes no fields.
        """
        heads, m = self.near.shape[1], alike.shape[-2]
        apart = torch.eye(heads, dtype=alike.dtype, device=alike.device)
        mixing = torch.einsum("ehjl,hg->ejhlg", self.near * self.others, apart)
        mixing = mixing.flatten(3, 4).flatten(1, 2)  # (E, M * h, M * h)
        split = alike.unflatten(-1, (heads, -1)).flatten(-3, -2)  # (E, B, L, M * h, K)
        mixed = (mixing[:, None, None] @ split).unflatten(-2, (m, heads)).flatten(-2)
        return (mixed * alike).sum(dim=-1)


def _item_fields(session_fields: int) -> tuple[int, int]:
    """Which fields say how alike two items are: those of the item itself, without its id.

    Candidates begin with the fields that a session keeps. Two ids are rarely shown together, so
    the id stands in only where an item has nothing else.
    """
    own = session_fields - _FEEDBACK_FIELDS
    return (1, own) if own > 1 else (0, 1)
