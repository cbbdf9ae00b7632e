"""The pair evaluator: relevance of each item, plus what every other slot of the list adds to it.

Built because a search goes where a flexible net guesses (METHOD section 8). Lists enter through
sums over pairs of slots alone, so what was learned on the lists that were shown holds for others.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.nets.blocks.field_embedding import ColumnSpans, FieldEmbedding, pooling_weights
from model.nets.blocks.layers import Dense, masked_attention
from model.nets.blocks.unique_history import UniqueHistory
from model.nets.evaluators.abstract_evaluator import EncodedRequest, Evaluator
from model.nets.field_layout import FieldLayout
from model.nets.request_tensors import RequestTensors

ITEM_LOGITS = slice(2)  # of what is known of a candidate: relevance, and the logit of a conversion
_RELEVANCE_EFFECTS = 2  # in which another slot's relevance acts: on appeal, and on being looked at
_FEEDBACK_FIELDS = 2  # of a session: clicked and converted stand behind the item's own fields
MIN_SIMILARITY_NORM = (
    1e-3  # an item without values in a field is like nothing: its vector stays near zero
)


class PairEvaluator(Evaluator):
    """p_click_j = examined_j * sigmoid(relevance_j + sum over other slots l of what l adds).

    Relevance is computed once a candidate: factor products with the user, a small MLP, what the
    user did with similar items. Alikeness is the cosine of learned embeddings, one a field. A
    slot's place acts through examination alone: a bias of its own would be learned from the items
    that upstream puts there, and would promise as much for any other item.
    A pair of slots has the weight of its distance and one of its own, which decays: what holds at
    any place of a list is learned from all of them (METHOD section 8).
    Without `item_interactions` the sum is left out: for labels that no other item of the list moves.
    """

    has_user_item_affinity = True
    off_diagonal: Tensor
    distance_index: Tensor  # (M, M): of slot l from slot j, from 0

    def __init__(
        self,
        fields: FieldLayout,
        *,
        slots: int,
        width: int,
        hidden: int,
        members: int,
        dropout: float,
        factor_width: int,
        item_interactions: bool = True,
    ) -> None:
        super().__init__()
        self.members, self.slots, self.item_interactions = members, slots, item_interactions
        self.has_list_effects = item_interactions
        self.dropout = nn.Dropout(dropout)
        candidate, session = len(fields.candidate), len(fields.session)
        rows = fields.num_embeddings
        self.embedding = FieldEmbedding(rows, width, members=members)
        self.factor_embedding = FieldEmbedding(rows, factor_width, members=members, init_scale=0.1)
        self.bias_embedding = FieldEmbedding(rows, 1, members=members, init_scale=0.01)
        self.history_query = Dense(width * candidate, width, members=members, bias=False)
        self.history_key = Dense(width * session, width, members=members, bias=False)
        self.history_value = Dense(width * session, width, members=members)
        self.item_projection = Dense(width * (candidate + 1), hidden, members=members)
        self.user_projection = Dense(width * len(fields.user), hidden, members=members, bias=False)
        self.output_layer = Dense(hidden, 2, members=members)
        self.factor_weights = nn.Parameter(torch.ones(members, 1, 1, candidate))
        first, last = _similarity_field_range(session)
        self.similarity_fields, heads = fields.candidate[first:last], last - first
        self.candidate_width, self.context_width = 2, 1
        if item_interactions:
            self.candidate_width += heads * factor_width
            self.similarity_embedding = FieldEmbedding(
                rows, factor_width, members=members, init_scale=1.0
            )
            ways = heads + _RELEVANCE_EFFECTS
            self.pair_residuals = nn.Parameter(torch.zeros(members, ways, slots, slots))
            self.distance_weights = nn.Parameter(torch.zeros(members, ways, 2 * slots - 1))
        self.conversion_bias = nn.Parameter(torch.zeros(members, slots))
        self.examination_logits = nn.Parameter(torch.full((members, slots), 2.0))
        self.candidate_fields = fields.candidate
        self.item_scope_fields = fields.candidate[: session - _FEEDBACK_FIELDS]
        self.user_fields = fields.user
        self.session_fields = fields.session
        self.register_buffer("off_diagonal", 1.0 - torch.eye(slots), persistent=False)
        place = torch.arange(slots)
        self.register_buffer("distance_index", place - place[:, None] + slots - 1, persistent=False)

    def embedding_params(self) -> list[nn.Parameter]:
        """See `Evaluator.tables`."""
        return [self.embedding.weight, self.factor_embedding.weight]

    def structural_params(self) -> list[nn.Parameter]:
        """See `Evaluator.structure`."""
        pairs = [self.distance_weights] if self.item_interactions else []
        return [self.factor_weights, *pairs, self.examination_logits, self.conversion_bias]

    def pair_residual_params(self) -> list[nn.Parameter]:
        """See `Evaluator.deviations`."""
        return [self.pair_residuals] if self.item_interactions else []

    @property
    def contrast_weights(self) -> Tensor:
        """(E, j, l): what the relevance at slot l adds to the appeal of slot j."""
        return self._pair_weights(0)

    @property
    def examination_weights(self) -> Tensor:
        """(E, j, l): what it adds to slot j's being looked at."""
        return self._pair_weights(1)

    @property
    def similarity_weights(self) -> Tensor:
        """(E, h, j, l): what likeness to slot l in field h adds to the appeal of slot j."""
        return self._pair_weights(slice(_RELEVANCE_EFFECTS, None))

    def _pair_weights(self, way: int | slice) -> Tensor:
        return self.pair_residuals[:, way] + self.distance_weights[:, way][..., self.distance_index]

    def bias_params(self) -> list[nn.Parameter]:
        """See `Evaluator.biases`."""
        return [self.bias_embedding.weight]

    def encode(self, request: RequestTensors) -> EncodedRequest:
        """See `Evaluator.encode`; nothing of a list is left for the context."""
        x = self.embedding(request.candidates, self.candidate_fields)
        x = x.flatten(-2)  # (E, B, N, F * D)
        user = self.embedding(request.user, self.user_fields).flatten(-2)  # (E, B, Fu * D)
        parts = self.dropout(torch.cat([x, self._history(x, request)], dim=-1))
        hidden = torch.relu(self.item_projection(parts) + self.user_projection(user).unsqueeze(2))
        logits = self.output_layer(self.dropout(hidden))  # (E, B, N, 2)
        products = self._factor_products(request.candidates, request.user, self.candidate_fields)
        click = logits[..., :1] + products.unsqueeze(-1)
        made = torch.cat([click, logits[..., 1:]], dim=-1)
        if self.item_interactions:
            alike = self._similarity_encoding(request.candidates)  # (E, B, N, h * K)
            made = torch.cat([made, alike], dim=-1)
        return EncodedRequest(made, torch.zeros_like(made[:, :, :1, None, :1]))

    def _similarity_encoding(self, rows: Tensor) -> Tensor:
        """(E, B, N, h * K): what the item's own fields say it is like, of length 1 each."""
        at = self.similarity_fields[0][0]
        own = rows[..., at : at + sum(width for _, width in self.similarity_fields)]
        kinds = self.similarity_embedding(
            own, tuple((first - at, width) for first, width in self.similarity_fields)
        )
        length = torch.linalg.vector_norm(kinds, dim=-1, keepdim=True).clamp(
            min=MIN_SIMILARITY_NORM
        )
        return (kinds / length).flatten(-2)

    def user_item_affinity(self, request: RequestTensors) -> Tensor:
        """See `Evaluator.affinity`: products and biases of the fields that sessions keep, too."""
        first, width = self.item_scope_fields[-1]
        own = request.candidates[..., : first + width]
        return self._factor_products(own, request.user, self.item_scope_fields)

    def _factor_products(self, candidates: Tensor, users: Tensor, fields: ColumnSpans) -> Tensor:
        """(E, B, N): factors of the user times those of each field, and the biases of all.

        By column, since a field's mean times the user is the sum of its columns' shares of it.
        """
        share = pooling_weights(candidates, fields)  # (B, N, C)
        share_user = pooling_weights(users, self.user_fields)
        user = self.factor_embedding.weighted_columns(users, share_user).sum(dim=-2)  # (B, E * K)
        item = functional.embedding(candidates, self.factor_embedding.weight)  # (B, N, C, E * K)
        members = torch.eye(self.members, device=item.device).repeat_interleave(
            self.factor_embedding.width, dim=0
        )  # (E * K, E): each member's factors meet its own
        products = item.flatten(1, 2) @ (user.unsqueeze(-1) * members)  # (B, N * C, E)
        taste = torch.cat(
            [
                self.factor_weights[:, 0, 0, field].unsqueeze(0).expand(width, -1)
                for field, (_, width) in enumerate(fields)
            ]
        )  # (C, E)
        bias = functional.embedding(candidates, self.bias_embedding.weight)  # (B, N, C, E)
        each = products.unflatten(1, item.shape[1:3]) * taste + bias
        own = self.bias_embedding.weighted_columns(users, share_user).sum(dim=-2)  # (B, E)
        total = (each * share.unsqueeze(-1)).sum(dim=-2) + own.unsqueeze(1)  # (B, N, E)
        return total.movedim(-1, 0)

    def _history(self, x: Tensor, request: RequestTensors) -> Tensor:
        """Target attention (E, B, N, D): what the user did with items like this one."""
        past = UniqueHistory.from_sessions(request.sessions)
        flat = past.flatten_fields(self.embedding(past.rows, self.session_fields))
        key, value = (
            past.expand_to_slots(self.history_key(flat)),
            past.expand_to_slots(self.history_value(flat)),
        )
        return masked_attention(self.history_query(x), key, value, request.sess_valid.flatten(1))

    def score(
        self, encoded: EncodedRequest, slot_encodings: Tensor, slot_valid: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `Evaluator.score`."""
        weight = slot_valid.unsqueeze(1).to(slot_encodings.dtype)  # (B, 1, M)
        click, examined = slot_encodings[..., 0], self.examination_logits[:, None, None, :]
        if self.item_interactions:
            added, attention = self._other_slot_effects(slot_encodings, weight)
            click, examined = click + added, examined + attention
        conversion = slot_encodings[..., 1] + self.conversion_bias[:, None, None, :]
        p_click = torch.sigmoid(click) * torch.sigmoid(examined) * weight
        return p_click, torch.sigmoid(conversion) * weight

    @torch.no_grad()
    def scale_click_logits(self, factor: float) -> None:
        """See `Evaluator.sharpen`. Relevance and likeness count more, what they do elsewhere not.

        Contrast is linear in relevance and grows with it, as it should; examination must not.
        """
        self.output_layer.scale_output_column(0, factor)
        self.factor_weights.mul_(factor)
        self.bias_embedding.weight.mul_(factor)
        if self.item_interactions:
            for pairs in (self.pair_residuals, self.distance_weights):
                pairs[:, 1] /= factor
                pairs[:, _RELEVANCE_EFFECTS:] *= factor

    def list_effects(
        self, encoded: EncodedRequest, slot_encodings: Tensor, slot_valid: Tensor
    ) -> Tensor:
        """See `Evaluator.added`."""
        return self._other_slot_effects(
            slot_encodings, slot_valid.unsqueeze(1).to(slot_encodings.dtype)
        )[0]

    def _other_slot_effects(self, shown: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """(E, B, L, M) twice: what the other slots add to appeal, and to being looked at."""
        real = shown * weight.unsqueeze(-1)
        pairs = torch.cat(
            [
                self.contrast_weights * self.off_diagonal,
                self.examination_weights * self.off_diagonal,
            ],
            dim=1,
        )
        told = (pairs[:, None, None] @ real[..., :1]).squeeze(-1)  # (E, B, L, 2 * M)
        contrast, attention = told.chunk(2, dim=-1)
        return contrast + self._similarity_effects(real[..., 2:]), attention

    def _similarity_effects(self, alike: Tensor) -> Tensor:
        """(E, B, L, M): sum over slots l and fields h of near_hjl cosine_h(j, l).

        The products with `near` of all fields are one, of a matrix that mixes no fields.
        """
        heads, m = self.similarity_weights.shape[1], alike.shape[-2]
        apart = torch.eye(heads, dtype=alike.dtype, device=alike.device)
        mixing = torch.einsum("ehjl,hg->ejhlg", self.similarity_weights * self.off_diagonal, apart)
        mixing = mixing.flatten(3, 4).flatten(1, 2)  # (E, M * h, M * h)
        split = alike.unflatten(-1, (heads, -1)).flatten(-3, -2)  # (E, B, L, M * h, K)
        mixed = (mixing[:, None, None] @ split).unflatten(-2, (m, heads)).flatten(-2)
        return (mixed * alike).sum(dim=-1)


def _similarity_field_range(session_fields: int) -> tuple[int, int]:
    """Which fields say how alike two items are: those of the item itself, without its id.

    Candidates begin with the fields that a session keeps. Two ids are rarely shown together, so
    the id stands in only where an item has nothing else.
    """
    own = session_fields - _FEEDBACK_FIELDS
    return (1, own) if own > 1 else (0, 1)
