"""The pair evaluator: relevance of each item plus pairwise effects of the other slots.

Lists enter only through sums over pairs of slots, so that predictions generalize to the unseen
lists that a search visits; see docs/explanation/method.md#pair-evaluator. `encode_pairs_for_export`
is the form of `encode` for graphs; test_encode_for_export_matches_encode compares the two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

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
from model.nets.evaluators.click_heads import ClickHeads
from model.nets.evaluators.slot_interactions import MIN_SIMILARITY_NORM, SlotInteractions
from model.nets.field_layout import FieldLayout
from model.nets.request_tensors import RequestTensors

ITEM_LOGITS = slice(2)  # of a candidate's encoding: relevance and conversion logit
_FEEDBACK_FIELDS = 2  # clicked and converted follow the item fields of a session


class PairEvaluator(Evaluator):
    """Click models over the slots of a list whose logits are sums over pairs of slots.

    appeal z_j      = r_j + sum_l (sum_w C_wjl m_wl + sum_h S_hjl cos_hjl)
    examination e_j = b_j + sum_l sum_w B_wjl m_wl

    r is relevance; the sums over the other slots l are those of `SlotInteractions`. `ClickHeads`
    turns both logits into click probabilities.

    Relevance is computed once per candidate: factor products with the user, a small MLP, and
    attention over past items. Slot position enters through examination alone, because a position
    bias would absorb the quality of the items that upstream puts there.
    Without traits (`item_interactions = false`) the sums are left out.
    """

    has_user_item_affinity = True

    def __init__(
        self,
        fields: FieldLayout,
        *,
        slots: int,
        width: int,
        hidden: int,
        click_models: Sequence[str],
        dropout: float,
        factor_width: int,
        traits: int | None,
    ) -> None:
        """Build with fresh weights.

        Args:
            fields: of the schema.
            slots: M.
            width, hidden, factor_width: of embeddings, of the MLP, of factors.
            click_models: the click model of each member, E in all.
            dropout: of a candidate's inputs and of the last layer.
            traits: learned messages of an item; None leaves out all effects between items.
        """
        super().__init__()
        members = len(click_models)
        self.members, self.slots, self.has_list_effects = members, slots, traits is not None
        self.click_heads = ClickHeads(click_models, slots)
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
        self.interaction_fields = fields.candidate[slice(*_interaction_field_range(session))]
        self.candidate_width, self.context_width = 2, 1
        self.interactions: SlotInteractions | None = None
        if traits is not None:
            self.interactions = SlotInteractions(
                self.interaction_fields,
                num_embeddings=rows,
                slots=slots,
                width=width,
                similarity_width=factor_width,
                traits=traits,
                members=members,
            )
            self.candidate_width += self.interactions.encoding_width
        self.conversion_bias = nn.Parameter(torch.zeros(members, slots))
        self.examination_logits = nn.Parameter(torch.full((members, slots), 2.0))
        self.candidate_fields = fields.candidate
        self.item_scope_fields = fields.candidate[: session - _FEEDBACK_FIELDS]
        self.user_fields = fields.user
        self.session_fields = fields.session

    def embedding_params(self) -> list[nn.Parameter]:
        """See `Evaluator.embedding_params`."""
        return [self.embedding.weight, self.factor_embedding.weight]

    def structural_params(self) -> list[nn.Parameter]:
        """See `Evaluator.structural_params`."""
        own = [self.factor_weights, self.examination_logits, self.conversion_bias]
        own += list(self.click_heads.parameters())
        return own if self.interactions is None else own + self.interactions.structural_params()

    def pair_residual_params(self) -> list[nn.Parameter]:
        """See `Evaluator.pair_residual_params`."""
        return [] if self.interactions is None else [self.interactions.pair_residuals]

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
        if self.interactions is not None:
            embedded = self.interaction_inputs(x)
            effects = self.interactions.encode(request.candidates, click, embedded)
            made = torch.cat([made, effects], dim=-1)
        return EncodedRequest(made, torch.zeros_like(made[:, :, :1, None, :1]))

    def interaction_inputs(self, x: Tensor) -> Tensor:
        """(E, .., F * D) -> (E, .., h * D): embeddings of the fields that define similarity.

        Traits of single ids would be learned by heart: few lists hold the same two items.
        """
        width, first = self.embedding.width, self.candidate_fields.index(self.interaction_fields[0])
        return x.narrow(-1, first * width, len(self.interaction_fields) * width)

    def observe_shown(self, slot_encodings: Tensor, slot_valid: Tensor) -> None:
        """See `Evaluator.observe_shown`."""
        if self.interactions is not None:
            self.interactions.observe_shown(slot_encodings, slot_valid)

    def user_item_affinity(self, request: RequestTensors) -> Tensor:
        """See `Evaluator.user_item_affinity`: products and biases of item-scope fields."""
        first, width = self.item_scope_fields[-1]
        own = request.candidates[..., : first + width]
        return self._factor_products(own, request.user, self.item_scope_fields)

    def _factor_products(self, candidates: Tensor, users: Tensor, fields: ColumnSpans) -> Tensor:
        """(E, B, N): factors of the user times those of each field, plus all biases.

        Computed by column: a field's mean times the user is the weighted sum over its columns.
        """
        share = pooling_weights(candidates, fields)  # (B, N, C)
        share_user = pooling_weights(users, self.user_fields)
        user = self.factor_embedding.weighted_columns(users, share_user).sum(dim=-2)  # (B, E * K)
        item = functional.embedding(candidates, self.factor_embedding.weight)  # (B, N, C, E * K)
        members = torch.eye(self.members, device=item.device).repeat_interleave(
            self.factor_embedding.width, dim=0
        )  # (E * K, E): each member's factors meet its own
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
        appeal, examination = slot_encodings[..., 0], self.examination_logits[:, None, None, :]
        if self.interactions is not None:
            appeal_effect, examination_effect = self.interactions(slot_encodings, weight)
            appeal, examination = appeal + appeal_effect, examination + examination_effect
        p_click = self.click_heads(
            appeal.transpose(-1, -2), examination.transpose(-1, -2), weight.transpose(-1, -2)
        ).transpose(-1, -2)
        conversion = slot_encodings[..., 1] + self.conversion_bias[:, None, None, :]
        return p_click * weight, torch.sigmoid(conversion) * weight

    @torch.no_grad()
    def scale_click_logits(self, factor: float) -> None:
        """See `Evaluator.scale_click_logits`; messages and examination stay the same."""
        self.output_layer.scale_output_column(0, factor)
        self.factor_weights.mul_(factor)
        self.bias_embedding.weight.mul_(factor)
        self.click_heads.scale_click_logits(factor)
        if self.interactions is not None:
            self.interactions.scale_click_logits(factor)

    def list_effects(
        self, encoded: EncodedRequest, slot_encodings: Tensor, slot_valid: Tensor
    ) -> Tensor:
        """See `Evaluator.list_effects`."""
        if self.interactions is None:
            return super().list_effects(encoded, slot_encodings, slot_valid)
        weight = slot_valid.unsqueeze(1).to(slot_encodings.dtype)
        effects: tuple[Tensor, Tensor] = self.interactions(slot_encodings, weight)
        return effects[0]


def _interaction_field_range(session_fields: int) -> tuple[int, int]:
    """First and last (exclusive) item field that defines interactions: all but the id.

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
        *([net.interactions.similarity_embedding] if net.interactions is not None else []),
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
    made = [click, logits[..., 1:]]
    if net.interactions is not None:
        traits = net.interactions.trait_projection(net.interaction_inputs(flat))
        made.append(net.interactions.item_messages(click, traits.unflatten(1, (b, -1))))
    made += [_similarity_directions(net, part, b) for part in vectors]
    context = torch.zeros(members, 1, 1, 1, 1, device=click.device)
    return EncodedRequest(torch.cat(made, dim=-1), context)


def _by_member(net: PairEvaluator, x: Tensor) -> Tensor:
    """(F, R, E * D) -> (E, R, F * D)."""
    return x.unflatten(-1, (net.members, -1)).permute(2, 1, 0, 3).flatten(2)


def _widths(net: PairEvaluator) -> list[int]:
    """Of what is looked up of a candidate: embedding, factors and bias, vectors."""
    each = [net.embedding.width, net.factor_embedding.width + net.bias_embedding.width]
    if net.interactions is not None:
        each.append(net.interactions.similarity_embedding.width)
    return [net.members * width for width in each]


def _member_bias(dense: Dense) -> Tensor:
    """(E, 1, n_out)."""
    assert dense.bias is not None
    return dense.bias.unsqueeze(1)


def _history_contribution(net: PairEvaluator, request: RequestTensors, query: Tensor) -> Tensor:
    """(E, B, N, hidden): contribution of attention over past items to the hidden layer."""
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
    """(E, B, N, 1) from (F, B * N, E * factor_width + E) and (Fu, B, ..), factors and biases.

    The user's factors are multiplied by the field weights once, before they meet candidates.
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
    """(F, B * N, E * K) -> (E, B, N, h * K): unit vectors of the item's own fields."""
    first = net.candidate_fields.index(net.interaction_fields[0])
    own = vectors[first : first + len(net.interaction_fields)].unflatten(-1, (net.members, -1))
    length = torch.linalg.vector_norm(own, dim=-1, keepdim=True).clamp(min=MIN_SIMILARITY_NORM)
    return (own / length).permute(2, 1, 0, 3).flatten(2).unflatten(1, (requests, -1))
