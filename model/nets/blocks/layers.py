"""Small blocks that several nets share. Leading axes are free; `members` adds an ensemble axis.

A block built with `members=E` holds E independent sets of weights and takes inputs whose first
axis is E. With `members=None` there is no such axis, in weights or in inputs.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Dense(nn.Module):
    """y = x W + b, for one net or for E members at once.

    Shapes: (..., n_in) -> (..., n_out), or (E, ..., n_in) -> (E, ..., n_out).
    """

    def __init__(
        self, n_in: int, n_out: int, *, members: int | None = None, bias: bool = True
    ) -> None:
        super().__init__()
        lead = () if members is None else (members,)
        bound = 1.0 / math.sqrt(n_in)
        self.weight = nn.Parameter(torch.empty(*lead, n_in, n_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(*lead, n_out)) if bias else None
        self.members = members

    def forward(self, x: Tensor) -> Tensor:
        """Apply to the last axis."""
        if self.members is None:
            if self.bias is None:
                return x @ self.weight
            if x.dim() == 2:
                return torch.addmm(self.bias, x, self.weight)
            return x @ self.weight + self.bias
        flat = x if x.dim() == 3 else x.reshape(x.shape[0], -1, x.shape[-1])  # (E, rows, n_in)
        y = flat @ self.weight
        if self.bias is not None:
            y = y + self.bias.unsqueeze(1)
        return y if x.dim() == 3 else y.reshape(*x.shape[:-1], y.shape[-1])

    def project_requests(self, x: Tensor) -> Tensor:
        """Project (E, B, n_in) to (E, B, 1, n_out), without bias.

        A graph computes one product per request. A single product of all rows sums in another
        order, so that a request's last digits would depend on the batch size.
        """
        if torch.compiler.is_compiling():
            return x.unsqueeze(2) @ self.weight.unsqueeze(1)
        return self(x).unsqueeze(2)

    @torch.no_grad()
    def scale_output_column(self, output_index: int, factor: float) -> None:
        """Multiply one output column of every member by a factor."""
        self.weight[..., output_index] *= factor
        if self.bias is not None:
            self.bias[..., output_index] *= factor


class SummedInputMlp(nn.Module):
    """MLP after its first layer, which is a sum of parts: ReLU - hidden - ReLU - out.

    The first layer of MLP(a | b | ..) is W_a a + W_b b + ... Constant parts are computed once, and
    this block takes the sum. See docs/explanation/method.md#sums-instead-of-concatenations.
    """

    def __init__(self, hidden: int, n_out: int, *, members: int | None = None) -> None:
        super().__init__()
        self.hidden_layer = Dense(hidden, hidden, members=members)
        self.output_layer = Dense(hidden, n_out, members=members)

    def forward(self, summed_input: Tensor) -> Tensor:
        """Logits (..., n_out) from the summed first layer (..., hidden)."""
        return self.output_layer(torch.relu(self.hidden_layer(torch.relu(summed_input))))

    def single_logit(self, summed_input: Tensor) -> Tensor:
        """Logit (...) from (..., hidden), for a head with one logit and no members.

        Flat rows let the runtime fuse product, bias and ReLU into one node. The logits of a request
        are one row, which is twice as fast as a column. One row for all requests would make a
        logit's last digits depend on its position in the batch.
        """
        rows = torch.relu(self.hidden_layer(torch.relu(summed_input).flatten(0, -2)))
        by_request = rows.unflatten(0, (summed_input.shape[0], -1)).transpose(-1, -2)
        assert self.output_layer.bias is not None
        row = self.output_layer.weight.t() @ by_request  # (B, 1, rows)
        if not torch.compiler.is_compiling():  # a constant changes no argmax, so graphs omit it
            row = row + self.output_layer.bias
        return row.view(summed_input.shape[:-1])


class EnsembleLayerNorm(nn.Module):
    """Layer normalization over the last axis, with separate weights for each member."""

    def __init__(self, width: int, *, members: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(members, width))
        self.bias = nn.Parameter(torch.zeros(members, width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (E, ..., width)."""
        free = (1,) * (x.dim() - 2)
        normal = functional.layer_norm(x, x.shape[-1:])
        gain, shift = (p.view(p.shape[0], *free, p.shape[1]) for p in (self.weight, self.bias))
        return normal * gain + shift


_MASKED_LOGIT = 1e30  # larger than any logit


def key_mask_bias(valid: Tensor) -> Tensor:
    """Logit bias (..., 1, S) of keys: 0 where valid, else far below any logit."""
    return torch.where(valid.unsqueeze(-2), 0.0, -_MASKED_LOGIT)


class SlotMasks(NamedTuple):
    """Masks for attention among slots, each applied by one sum or product.

    logit_bias: (..., M, M), added to logits: 0, or far below any logit where the key is padded.
    mean_weight: (..., 1, M), weight of a slot in the mean over slots, 0 where it is padded.
    num_valid: (..., 1, 1), number of valid slots.
    """

    logit_bias: Tensor
    mean_weight: Tensor
    num_valid: Tensor

    @classmethod
    def from_valid(cls, valid: Tensor) -> SlotMasks:
        """Build from (..., M) bool, True for a real slot."""
        key_valid, m = valid.unsqueeze(-2), valid.shape[-1]
        bias = torch.where(key_valid, torch.zeros(m, m, device=valid.device), -_MASKED_LOGIT)
        weight = key_valid.to(torch.float32)
        num_valid = weight.sum(dim=-1, keepdim=True)
        return cls(bias, weight / num_valid.clamp(min=1.0), num_valid)


def candidate_pooling_masks(valid: Tensor) -> tuple[Tensor, Tensor]:
    """Masks for pooling over candidates, from (B, N) bool.

    Returns:
        (B, N, 1), added before a maximum; (B, 1, N), weights of a mean.
    """
    real = valid.unsqueeze(1).to(torch.float32)
    mean_weight = real / real.sum(dim=-1, keepdim=True).clamp(min=1.0)
    return torch.where(valid.unsqueeze(-1), 0.0, -_MASKED_LOGIT), mean_weight


def masked_mean(x: Tensor, valid: Tensor) -> Tensor:
    """Average over the second-last axis, counting real entries only.

    Args:
        x: (..., S, D) float.
        valid: broadcastable to (..., S), bool.

    Returns:
        (..., D); zeros where nothing is valid.
    """
    weight = valid.unsqueeze(-1).to(x.dtype)
    return (x * weight).sum(dim=-2) / weight.sum(dim=-2).clamp(min=1.0)


def masked_softmax(logits: Tensor, valid: Tensor) -> Tensor:
    """Softmax over the last axis among valid entries; a row with nothing valid is all zeros.

    Args:
        logits: (..., S) float.
        valid: broadcastable to (..., S), bool.
    """
    floor = torch.finfo(logits.dtype).min
    weight = torch.softmax(logits.masked_fill(~valid, floor), dim=-1)
    return weight * valid.to(weight.dtype)


def masked_attention(
    query: Tensor, key: Tensor, value: Tensor, valid: Tensor, *, bias: Tensor | None = None
) -> Tensor:
    """Scaled dot-product attention with one head.

    Args:
        query: (..., S, D) float.
        key: (..., S', D) float.
        value: (..., S', D') float.
        valid: (..., S') bool, real keys; broadcast over queries.
        bias: broadcastable to (..., S, S'), added to the logits.

    Returns:
        (..., S, D').
    """
    logits = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    if bias is not None:
        logits = logits + bias
    return masked_softmax(logits, valid.unsqueeze(-2)) @ value


def gather_lists(per_candidate: Tensor, lists: Tensor) -> Tensor:
    """Gather the candidates of lists.

    Args:
        per_candidate: (..., B, N, Z), with at most one leading axis.
        lists: (B, L, M) int, candidate indices.

    Returns:
        (..., B, L, M, Z).
    """
    *lead, b, n, z = per_candidate.shape
    offset = torch.arange(b, device=lists.device).view(b, 1, 1) * n
    flat = (lists + offset).reshape(-1)  # one flat gather is cheaper than a batched one
    picked = per_candidate.reshape(*lead, b * n, z).index_select(len(lead), flat)
    return picked.reshape(*lead, *lists.shape, z)
