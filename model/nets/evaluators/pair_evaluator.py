"""The pair evaluator: relevance of each item plus pairwise effects of the other slots.

A list enters only through sums over pairs of slots, so that predictions generalize to the unseen
lists that a search visits. See docs/explanation/method.md#pair-evaluator.
`encode_pairs_for_export` is the form of `encode` for graphs; a test compares the two.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.nets.blocks.field_embedding import (
    ColumnSpans,
    FieldEmbedding,
    pooled_embedding_for_export,
    pooling_weights,
)
from model.nets.blocks.layers import Dense, key_mask_bias, masked_attention
from model.nets.blocks.unique_history import UniqueHistory
from model.nets.evaluators.abstract_evaluator import EncodedRequest, Evaluator
from model.nets.field_layout import FieldLayout
from model.nets.request_tensors import RequestTensors

ITEM_LOGITS = slice(2)  # of a candidate's encoding: relevance and conversion logit
_RELEVANCE_EFFECTS = 2  # of another slot's relevance: contrast and examination
_FEEDBACK_FIELDS = 2  # clicked and converted follow the item fields of a session
MIN_SIMILARITY_NORM = 1e-3  # keeps the vector of an item without values in a field near zero


class PairEvaluator(Evaluator):
    """Click model with examination and pairwise effects between the slots of a list.

    p_click_j = sigmoid(x_j + sum_l e_jl r_l) sigmoid(r_j + sum_l c_jl r_l + sum_lh s_hjl cos_hjl)

    Sums are over the other slots l. r is relevance, x examination, cos_h the cosine of learned
    embeddings of field h. e, c and s are `examination_weights`, `contrast_weights` and
    `similarity_weights`: each is `distance_weights[l - j] + pair_residuals[j, l]`, where residuals
    decay to 0. Relevance is computed once per candidate: factor products with the user, a small
    MLP, and attention over past items. Slot position enters through examination alone, because a
    position bias would absorb the quality of the items that upstream puts there.
    Without `item_interactions` both sums are left out.
    """

    has_user_item_affinity = True
    off_diagonal: Tensor
    distance_index: Tensor  # (M, M) int64: l - j + M - 1

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
        """See `Evaluator.embedding_params`."""
        return [self.embedding.weight, self.factor_embedding.weight]

    def structural_params(self) -> list[nn.Parameter]:
        """See `Evaluator.structural_params`."""
        pairs = [self.distance_weights] if self.item_interactions else []
        return [self.factor_weights, *pairs, self.examination_logits, self.conversion_bias]

    def pair_residual_params(self) -> list[nn.Parameter]:
        """See `Evaluator.pair_residual_params`."""
        return [self.pair_residuals] if self.item_interactions else []

    @property
    def contrast_weights(self) -> Tensor:
        """Weight (E, j, l) of the relevance at slot l in the click logit of slot j."""
        return self._pair_weights(0)

    @property
    def examination_weights(self) -> Tensor:
        """Weight (E, j, l) of the relevance at slot l in the examination logit of slot j."""
        return self._pair_weights(1)

    @property
    def similarity_weights(self) -> Tensor:
        """Weight (E, h, j, l) of similarity to slot l in field h in the click logit of slot j."""
        return self._pair_weights(slice(_RELEVANCE_EFFECTS, None))

    def _pair_weights(self, way: int | slice) -> Tensor:
        return self.pair_residuals[:, way] + self.distance_weights[:, way][..., self.distance_index]

    def bias_params(self) -> list[nn.Parameter]:
        """See `Evaluator.bias_params`."""
        return [self.bias_embedding.weight]

    def encode(self, request: RequestTensors) -> EncodedRequest:
        """See `Evaluator.encode`; the context is zero."""
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
            similarity = self._similarity_encoding(request.candidates)  # (E, B, N, h * K)
            made = torch.cat([made, similarity], dim=-1)
        return EncodedRequest(made, torch.zeros_like(made[:, :, :1, None, :1]))

    def _similarity_encoding(self, rows: Tensor) -> Tensor:
        """Unit vectors (E, B, N, h * factor_width) of the item's own fields."""
        at = self.similarity_fields[0][0]
        own = rows[..., at : at + sum(width for _, width in self.similarity_fields)]
        vectors = self.similarity_embedding(
            own, tuple((first - at, width) for first, width in self.similarity_fields)
        )
        length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True).clamp(
            min=MIN_SIMILARITY_NORM
        )
        return (vectors / length).flatten(-2)

    def user_item_affinity(self, request: RequestTensors) -> Tensor:
        """See `Evaluator.user_item_affinity`: products and biases of item-scope fields."""
        first, width = self.item_scope_fields[-1]
        own = request.candidates[..., : first + width]
        return self._factor_products(own, request.user, self.item_scope_fields)

    def _factor_products(self, candidates: Tensor, users: Tensor, fields: ColumnSpans) -> Tensor:
        """Products (E, B, N) of the user's factors and each field's, plus all biases.

        Computed per column: a field's mean times the user is the weighted sum over its columns.
        """
        share = pooling_weights(candidates, fields)  # (B, N, C)
        share_user = pooling_weights(users, self.user_fields)
        user = self.factor_embedding.weighted_columns(users, share_user).sum(dim=-2)  # (B, E * K)
        item = functional.embedding(candidates, self.factor_embedding.weight)  # (B, N, C, E * K)
        members = torch.eye(self.members, device=item.device).repeat_interleave(
            self.factor_embedding.width, dim=0
        )  # (E * K, E): each member's factors are multiplied by its own
        products = item.flatten(1, 2) @ (user.unsqueeze(-1) * members)  # (B, N * C, E)
        factor_weight = torch.cat(
            [
                self.factor_weights[:, 0, 0, field].unsqueeze(0).expand(width, -1)
                for field, (_, width) in enumerate(fields)
            ]
        )  # (C, E)
        bias = functional.embedding(candidates, self.bias_embedding.weight)  # (B, N, C, E)
        each = products.unflatten(1, item.shape[1:3]) * factor_weight + bias
        own = self.bias_embedding.weighted_columns(users, share_user).sum(dim=-2)  # (B, E)
        total = (each * share.unsqueeze(-1)).sum(dim=-2) + own.unsqueeze(1)  # (B, N, E)
        return total.movedim(-1, 0)

    def _history(self, x: Tensor, request: RequestTensors) -> Tensor:
        """Target attention (E, B, N, D) of candidates over the user's past items."""
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
        """See `Evaluator.scale_click_logits`.

        Contrast is linear in relevance and scales with it; examination weights are divided by the
        factor, so that examination stays the same.
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
        """See `Evaluator.list_effects`."""
        return self._other_slot_effects(
            slot_encodings, slot_valid.unsqueeze(1).to(slot_encodings.dtype)
        )[0]

    def _other_slot_effects(self, shown: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Effects of the other slots on click and examination logits, (E, B, L, M) each."""
        real = shown * weight.unsqueeze(-1)
        pairs = torch.cat(
            [
                self.contrast_weights * self.off_diagonal,
                self.examination_weights * self.off_diagonal,
            ],
            dim=1,
        )
        effects = (pairs[:, None, None] @ real[..., :1]).squeeze(-1)  # (E, B, L, 2 * M)
        contrast, attention = effects.chunk(2, dim=-1)
        return contrast + self._similarity_effects(real[..., 2:]), attention

    def _similarity_effects(self, similarity: Tensor) -> Tensor:
        """Sum over slots l and fields h of similarity weight times cosine, (E, B, L, M).

        Computed as one product with a matrix that is zero between fields.
        """
        heads, m = self.similarity_weights.shape[1], similarity.shape[-2]
        identity = torch.eye(heads, dtype=similarity.dtype, device=similarity.device)
        mixing = torch.einsum(
            "ehjl,hg->ejhlg", self.similarity_weights * self.off_diagonal, identity
        )
        mixing = mixing.flatten(3, 4).flatten(1, 2)  # (E, M * h, M * h)
        split = similarity.unflatten(-1, (heads, -1)).flatten(-3, -2)  # (E, B, L, M * h, K)
        mixed = (mixing[:, None, None] @ split).unflatten(-2, (m, heads)).flatten(-2)
        return (mixed * similarity).sum(dim=-1)


def _similarity_field_range(session_fields: int) -> tuple[int, int]:
    """First and last (exclusive) item field that defines similarity: all fields but the id.

    Candidates begin with the item fields of a session. Two ids are rarely shown together, so the
    id is used only where an item has no other field.
    """
    own = session_fields - _FEEDBACK_FIELDS
    return (1, own) if own > 1 else (0, 1)


def encode_pairs_for_export(net: PairEvaluator, request: RequestTensors) -> EncodedRequest:
    """`PairEvaluator.encode` with fewer graph nodes; the context is zeros (E, 1, 1, 1, 1).

    One look-up serves all tables of a candidate, and the projection that reads the history is
    applied to its values before they are summed.
    """
    b = request.cand_valid.shape[0]
    members, width, hidden = net.members, net.embedding.width, net.user_projection.weight.shape[-1]
    parts = [
        net.embedding,
        net.factor_embedding,
        net.bias_embedding,
        *([net.similarity_embedding] if net.item_interactions else []),
    ]
    table = torch.cat([part.weight for part in parts], dim=1)
    means = pooled_embedding_for_export(table, request.candidates, net.candidate_fields)
    x, factors, *vectors = means.split(_widths(net), dim=-1)  # (F, B * N, ..)
    of_user = pooled_embedding_for_export(table, request.user, net.user_fields)
    user, user_factors, *_ = of_user.split(_widths(net), dim=-1)  # (Fu, B, ..)
    flat = _by_member(net, x)
    query = net.history_query.weight / math.sqrt(width)
    both = flat @ torch.cat([query, net.item_projection.weight[:, :-width]], dim=-1)
    query, item = both.unflatten(1, (b, -1)).split((width, hidden), dim=-1)
    from_user = net.user_projection.project_requests(_by_member(net, user)) + _member_bias(
        net.item_projection
    ).unsqueeze(1)
    first = item + _history_contribution(net, request, query) + from_user
    logits = torch.relu(first) @ net.output_layer.weight.unsqueeze(1) + _member_bias(
        net.output_layer
    ).unsqueeze(1)
    click = logits[..., :1] + _pooled_factor_products(net, factors, user_factors)
    made = [click, logits[..., 1:], *(_similarity_directions(net, part, b) for part in vectors)]
    context = torch.zeros(members, 1, 1, 1, 1, device=click.device)
    return EncodedRequest(torch.cat(made, dim=-1), context)


def _by_member(net: PairEvaluator, x: Tensor) -> Tensor:
    """Reshape (F, R, E * D) to (E, R, F * D)."""
    return x.unflatten(-1, (net.members, -1)).permute(2, 1, 0, 3).flatten(2)


def _widths(net: PairEvaluator) -> list[int]:
    """Widths of the parts of an embedding row: embedding, factors and bias, similarity vectors."""
    each = [net.embedding.width, net.factor_embedding.width + net.bias_embedding.width]
    each += [net.similarity_embedding.width] if net.item_interactions else []
    return [net.members * width for width in each]


def _member_bias(dense: Dense) -> Tensor:
    """Bias of a layer as (E, 1, n_out)."""
    assert dense.bias is not None
    return dense.bias.unsqueeze(1)


def _history_contribution(net: PairEvaluator, request: RequestTensors, query: Tensor) -> Tensor:
    """Contribution (E, B, N, hidden) of attention over past items to the hidden layer."""
    width = net.embedding.width
    read = net.item_projection.weight[:, -width:]
    weight = torch.cat([net.history_key.weight, net.history_value.weight @ read], dim=-1)
    flat = (
        net.embedding.forward_for_export(request.sessions, net.session_fields)
        .transpose(1, 2)
        .flatten(2)
    )
    past = (flat @ weight).unflatten(1, (query.shape[1], -1))  # (E, B, H * M, D + hidden)
    key, value = past.split((width, read.shape[-1]), dim=-1)
    value = value + (_member_bias(net.history_value) @ read).unsqueeze(1)
    there = request.sess_valid.flatten(1)
    logits = query @ key.transpose(-1, -2) + key_mask_bias(there)
    return torch.softmax(logits, dim=-1) @ (value * there.unsqueeze(-1))


def _pooled_factor_products(net: PairEvaluator, factors: Tensor, user_factors: Tensor) -> Tensor:
    """Factor products and biases, (E, B, N, 1).

    Inputs are (F, B * N, E * factor_width + E) and (Fu, B, ..): factors, then biases. The user's
    factors are multiplied by the field weights first, once for all candidates.
    """
    members, num_factors = net.members, net.members * net.factor_embedding.width
    user = user_factors.sum(dim=0)  # (B, E * K + E)
    eye = torch.eye(members, device=user.device)
    own = torch.cat(
        [eye.repeat_interleave(net.factor_embedding.width, dim=0), eye]
    )  # (E * K + E, E)
    field_weight = net.factor_weights[:, 0, 0].t().unsqueeze(1)  # (F, 1, E)
    is_bias = (torch.arange(num_factors + members, device=user.device) >= num_factors).to(
        user.dtype
    )
    weight = own * torch.where(is_bias.bool().unsqueeze(-1), 1.0, field_weight)  # (F, E * K + E, E)
    combined = (user * (1.0 - is_bias) + is_bias).unsqueeze(-1) * weight.unsqueeze(1)
    total = (factors.unflatten(1, (user.shape[0], -1)) @ combined).sum(dim=0)  # (B, N, E)
    return (total + user[:, num_factors:].unsqueeze(1)).movedim(-1, 0).unsqueeze(-1)


def _similarity_directions(net: PairEvaluator, vectors: Tensor, requests: int) -> Tensor:
    """Unit vectors (E, B, N, h * K) of the item's own fields, from (F, B * N, E * K)."""
    first = net.candidate_fields.index(net.similarity_fields[0])
    own = vectors[first : first + len(net.similarity_fields)].unflatten(-1, (net.members, -1))
    length = torch.linalg.vector_norm(own, dim=-1, keepdim=True).clamp(min=MIN_SIMILARITY_NORM)
    return (own / length).permute(2, 1, 0, 3).flatten(2).unflatten(1, (requests, -1))
