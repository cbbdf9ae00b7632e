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
        """(E, B, n_in) -> (E, B, 1, n_out), without bias; in graphs a product a request.

        One row's product is summed in another order than several rows': as one product of all a
        request's last digits would hang on how many share its run.
        """
        if torch.compiler.is_compiling():
            return x.unsqueeze(2) @ self.weight.unsqueeze(1)
        return self(x).unsqueeze(2)

    @torch.no_grad()
    def scale_output_column(self, output_index: int, factor: float) -> None:
        """Multiply one number of the output, for every member."""
        self.weight[..., output_index] *= factor
        if self.bias is not None:
            self.bias[..., output_index] *= factor


class SummedInputMlp(nn.Module):
    """The rest of an MLP whose first layer was summed from parts: ReLU - hidden - ReLU - out.

    METHOD section 4: MLP(a | b | ..) has first layer W_a a + W_b b + ..; whatever does not change
    is computed once, and this block takes the sum.
    """

    def __init__(self, hidden: int, n_out: int, *, members: int | None = None) -> None:
        super().__init__()
        self.hidden_layer = Dense(hidden, hidden, members=members)
        self.output_layer = Dense(hidden, n_out, members=members)

    def forward(self, summed_input: Tensor) -> Tensor:
        """(..., hidden) summed first layer -> (..., n_out) logits."""
        return self.output_layer(torch.relu(self.hidden_layer(torch.relu(summed_input))))

    def single_logit(self, summed_input: Tensor) -> Tensor:
        """(..., hidden) -> (...), for a head with one logit and no members.

        As rows: a product of two axes takes its bias and its ReLU along in one node of a graph.
        And a request's logits as one row, which is twice as fast as one column; all requests' as
        one row would hang by their last digits on where in it they stand.
        """
        rows = torch.relu(self.hidden_layer(torch.relu(summed_input).flatten(0, -2)))
        by_request = rows.unflatten(0, (summed_input.shape[0], -1)).transpose(-1, -2)
        assert self.output_layer.bias is not None
        row = self.output_layer.weight.t() @ by_request  # (B, 1, rows)
        if not torch.compiler.is_compiling():  # no choice hangs on what is added to all
            row = row + self.output_layer.bias
        return row.view(summed_input.shape[:-1])


class EnsembleLayerNorm(nn.Module):
    """Layer normalisation over the last axis, with weights of its own for each member."""

    def __init__(self, width: int, *, members: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(members, width))
        self.bias = nn.Parameter(torch.zeros(members, width))

    def forward(self, x: Tensor) -> Tensor:
        """(E, ..., width) -> the same shape."""
        free = (1,) * (x.dim() - 2)
        normal = functional.layer_norm(x, x.shape[-1:])
        gain, shift = (p.view(p.shape[0], *free, p.shape[1]) for p in (self.weight, self.bias))
        return normal * gain + shift


_MASKED_LOGIT = 1e30  # larger than any logit


def key_mask_bias(valid: Tensor) -> Tensor:
    """(..., S) bool -> (..., 1, S), to be added to logits: far below any where no key is."""
    return torch.where(valid.unsqueeze(-2), 0.0, -_MASKED_LOGIT)


class SlotMasks(NamedTuple):
    """What attention among slots adds and weighs, so that each use is one sum or product.

    floor: (..., M, M), added to logits: 0, or far below any logit where the key is absent.
    share: (..., 1, M), of a slot in the mean over slots, 0 where it is absent.
    real: (..., 1, 1), how many exist.
    """

    logit_bias: Tensor
    mean_weight: Tensor
    num_valid: Tensor

    @classmethod
    def from_valid(cls, valid: Tensor) -> SlotMasks:
        """From (..., M) bool, slots that exist."""
        there, m = valid.unsqueeze(-2), valid.shape[-1]
        floor = torch.where(there, torch.zeros(m, m, device=valid.device), -_MASKED_LOGIT)
        weight = there.to(torch.float32)
        real = weight.sum(dim=-1, keepdim=True)
        return cls(floor, weight / real.clamp(min=1.0), real)


def candidate_pooling_masks(valid: Tensor) -> tuple[Tensor, Tensor]:
    """(B, N) bool -> floor (B, N, 1) of a maximum, share (B, 1, N) of a mean over candidates."""
    there = valid.unsqueeze(1).to(torch.float32)
    share = there / there.sum(dim=-1, keepdim=True).clamp(min=1.0)
    return torch.where(valid.unsqueeze(-1), 0.0, -_MASKED_LOGIT), share


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
        query: (..., S, D); key: (..., S', D); value: (..., S', D').
        valid: (..., S') bool, keys that exist; broadcast over queries.
        bias: broadcastable to (..., S, S'), added to the logits.

    Returns:
        (..., S, D').
    """
    logits = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    if bias is not None:
        logits = logits + bias
    return masked_softmax(logits, valid.unsqueeze(-2)) @ value


def gather_lists(per_candidate: Tensor, lists: Tensor) -> Tensor:
    """Pick what lists show.

    Args:
        per_candidate: (..., B, N, Z), with at most one leading axis.
        lists: (B, L, M) int, places in the candidates.

    Returns:
        (..., B, L, M, Z).
    """
    *lead, b, n, z = per_candidate.shape
    offset = torch.arange(b, device=lists.device).view(b, 1, 1) * n
    flat = (lists + offset).reshape(-1)  # one flat gather is cheaper than a batched one
    picked = per_candidate.reshape(*lead, b * n, z).index_select(len(lead), flat)
    return picked.reshape(*lead, *lists.shape, z)
