"""The pair evaluator's encoding of a request by few nodes: for graphs, never for training.

The same numbers as `PairEvaluator.encode` with half of its nodes: one look-up serves all tables of
a candidate, and what reads the history is applied to its values before they are summed.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from model.nets.blocks.field_embedding import pooled_embedding_for_export
from model.nets.blocks.layers import Dense, key_mask_bias
from model.nets.evaluators.abstract_evaluator import EncodedRequest
from model.nets.evaluators.pair_evaluator import MIN_SIMILARITY_NORM, PairEvaluator
from model.nets.request_tensors import RequestTensors


def encode_pairs_for_export(net: PairEvaluator, request: RequestTensors) -> EncodedRequest:
    """See `Evaluator.encode`; the context, which says nothing, is (E, 1, 1, 1, 1)."""
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
    x, tastes, *kinds = means.split(_widths(net), dim=-1)  # (F, B * N, ..)
    of_user = pooled_embedding_for_export(table, request.user, net.user_fields)
    user, user_tastes, *_ = of_user.split(_widths(net), dim=-1)  # (Fu, B, ..)
    flat = _by_member(net, x)
    query = net.history_query.weight / math.sqrt(width)
    both = flat @ torch.cat([query, net.item_projection.weight[:, :-width]], dim=-1)
    query, item = both.unflatten(1, (b, -1)).split((width, hidden), dim=-1)
    told = net.user_projection.project_requests(_by_member(net, user)) + _bias(
        net.item_projection
    ).unsqueeze(1)
    first = item + _history(net, request, query) + told
    logits = torch.relu(first) @ net.output_layer.weight.unsqueeze(1) + _bias(
        net.output_layer
    ).unsqueeze(1)
    click = logits[..., :1] + _factor_products(net, tastes, user_tastes)
    made = [click, logits[..., 1:], *(_similarity_directions(net, part, b) for part in kinds)]
    nothing = torch.zeros(members, 1, 1, 1, 1, device=click.device)
    return EncodedRequest(torch.cat(made, dim=-1), nothing)


def _by_member(net: PairEvaluator, x: Tensor) -> Tensor:
    """(F, R, E * D) -> (E, R, F * D)."""
    return x.unflatten(-1, (net.members, -1)).permute(2, 1, 0, 3).flatten(2)


def _widths(net: PairEvaluator) -> list[int]:
    """Of what is looked up of a candidate: embedding, factors and bias, kinds."""
    each = [net.embedding.width, net.factor_embedding.width + net.bias_embedding.width]
    each += [net.similarity_embedding.width] if net.item_interactions else []
    return [net.members * width for width in each]


def _bias(dense: Dense) -> Tensor:
    """(E, 1, n_out)."""
    assert dense.bias is not None
    return dense.bias.unsqueeze(1)


def _history(net: PairEvaluator, request: RequestTensors, query: Tensor) -> Tensor:
    """(E, B, N, hidden): what target attention over past items adds to the hidden layer."""
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
    value = value + (_bias(net.history_value) @ read).unsqueeze(1)
    there = request.sess_valid.flatten(1)
    logits = query @ key.transpose(-1, -2) + key_mask_bias(there)
    return torch.softmax(logits, dim=-1) @ (value * there.unsqueeze(-1))


def _factor_products(net: PairEvaluator, tastes: Tensor, user_tastes: Tensor) -> Tensor:
    """(E, B, N, 1) from (F, B * N, E * K + E) and (Fu, B, ..): factors and biases of both.

    What meets the candidates is made of the user once: factors times the member's taste a field.
    """
    members, factors = net.members, net.members * net.factor_embedding.width
    user = user_tastes.sum(dim=0)  # (B, E * K + E)
    eye = torch.eye(members, device=user.device)
    own = torch.cat(
        [eye.repeat_interleave(net.factor_embedding.width, dim=0), eye]
    )  # (E * K + E, E)
    taste = net.factor_weights[:, 0, 0].t().unsqueeze(1)  # (F, 1, E)
    is_bias = (torch.arange(factors + members, device=user.device) >= factors).to(user.dtype)
    weight = own * torch.where(is_bias.bool().unsqueeze(-1), 1.0, taste)  # (F, E * K + E, E)
    met = (user * (1.0 - is_bias) + is_bias).unsqueeze(-1) * weight.unsqueeze(1)
    total = (tastes.unflatten(1, (user.shape[0], -1)) @ met).sum(dim=0)  # (B, N, E)
    return (total + user[:, factors:].unsqueeze(1)).movedim(-1, 0).unsqueeze(-1)


def _similarity_directions(net: PairEvaluator, kinds: Tensor, requests: int) -> Tensor:
    """(F, B * N, E * K) -> (E, B, N, h * K): of the item's own fields, of length 1 each."""
    first = net.candidate_fields.index(net.similarity_fields[0])
    own = kinds[first : first + len(net.similarity_fields)].unflatten(-1, (net.members, -1))
    length = torch.linalg.vector_norm(own, dim=-1, keepdim=True).clamp(min=MIN_SIMILARITY_NORM)
    return (own / length).permute(2, 1, 0, 3).flatten(2).unflatten(1, (requests, -1))
