"""The guided generator: PDU and CRU that read the evaluator's own encoding of the candidates.

The published generator learns embeddings of its own from gains alone, and hardly learns who likes
what. Here the evaluator brings that, and what is learned is which edit it would like: how a
candidate goes with the slot, and with what stands in the other slots (METHOD section 3).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.nets.evaluator import Encoded
from model.nets.generator import Generator, GeneratorState
from model.nets.inputs import RequestTensors
from model.nets.layers import Dense, Head, masked_mean


class GuidedGenerator(Generator):
    """The CRU: g_k = MLP(x_k | U_j | <U_j, k_k> | u | PE_j). The PDU: the same of what is there.

    x and u are what the evaluator knows of item and user. U_hj = sum over other slots l of
    near_hjl v_hl is what surrounds slot j, for each of H heads; k_h are keys and v_h gated values
    of x, so <U_hj, k_hk> says how candidate k goes with the list around the slot. The PDU also
    sees maximum and mean over the candidates: whether there is something better to be had.
    """

    others: Tensor

    def __init__(  # noqa: PLR0913 plain numbers, each its own
        self,
        *,
        members: int,
        known: int,
        shared: int,
        slots: int,
        hidden: int,
        heads: int,
        head_width: int,
    ) -> None:
        """Build with fresh weights.

        Args:
            members, known, shared: E, Z and width of the context of the evaluator's encoding.
            slots: M at most.
            hidden: width of both units.
            heads, head_width: H, and numbers a head.
        """
        super().__init__()
        self.heads, self.head_width, self.hidden = heads, head_width, hidden
        size, pairs = members * known, heads * head_width
        self.value = Dense(size, pairs, bias=False)
        self.gate = Dense(size, heads)
        self.key = Dense(size, pairs, bias=False)
        self.near = nn.Parameter(torch.randn(heads, slots, slots) * 0.3)
        self.pdu_from_item = Dense(size, hidden)
        self.pdu_from_offer = Dense(size, hidden)
        self.pdu_from_user = Dense(members * shared, hidden, bias=False)
        self.cru_from_user = Dense(members * shared, hidden, bias=False)
        self.pdu_from_pool = Dense(2 * hidden, hidden, bias=False)
        self.pdu_from_list = Dense(pairs, hidden, bias=False)
        self.pdu_from_match = Dense(heads, hidden, bias=False)
        self.pdu_from_position = nn.Parameter(torch.randn(slots, hidden) * 0.1)
        self.pdu_head = Head(hidden, 1)
        self.cru_from_item = Dense(size, hidden)
        self.cru_from_list = Dense(pairs, hidden, bias=False)
        self.cru_from_match = Dense(heads, hidden, bias=False)
        self.cru_from_position = nn.Parameter(torch.randn(slots, hidden) * 0.1)
        self.cru_from_swap = nn.Parameter(torch.zeros(hidden, slots))  # k stands in slot l already
        self.cru_out = Dense(hidden, 1, bias=False)
        self.register_buffer("others", 1.0 - torch.eye(slots), persistent=False)

    def encode(self, request: RequestTensors, known: Encoded) -> GeneratorState:
        """See `Generator.encode`. No gradient reaches the evaluator."""
        x = known.candidates.detach().movedim(0, -2).flatten(-2)  # (B, N, E * Z)
        there = request.cand_valid.unsqueeze(-1)
        gate = torch.sigmoid(self.gate(x)).unsqueeze(-1)  # (B, N, H, 1)
        value = (self.value(x).unflatten(-1, (self.heads, self.head_width)) * gate).flatten(-2)
        key = self.key(x)
        offer = self.pdu_from_offer(x)
        floor = torch.finfo(offer.dtype).min
        most = offer.masked_fill(~there, floor).amax(dim=1)
        pool = torch.cat([most, masked_mean(offer, request.cand_valid)], dim=-1)
        user = known.context.detach().flatten(2).movedim(0, -2).flatten(-2)  # (B, E * shared)
        context = self.pdu_from_pool(pool) + self.pdu_from_user(user)
        there = request.slot_valid[:, None, None, None, :].to(x.dtype)
        return GeneratorState(
            torch.cat([value, key, self.pdu_from_item(x)], dim=-1),
            (
                self.cru_from_item(x).transpose(-1, -2).unsqueeze(1),  # (B, 1, hidden, N)
                # (B, 1, H, width, N)
                key.unflatten(-1, (self.heads, self.head_width)).permute(0, 2, 3, 1).unsqueeze(1),
                self.cru_from_swap * there.squeeze(2),  # (B, 1, hidden, M)
            ),
            context[:, None, None, :],
            self.cru_from_user(user)[:, None, :],
            self.near * self.others * there,  # (B, 1, H, M, M)
        )

    def see(self, state: GeneratorState, looked: Tensor) -> Tensor:
        """U (B, L, H, M, width): what surrounds every slot."""
        return state.between @ self._split(looked[..., : self.heads * self.head_width])

    def slot_logits(self, state: GeneratorState, looked: Tensor, seen: Tensor) -> Tensor:
        """See `Generator.slot_logits`."""
        pairs = self.heads * self.head_width
        match = (seen * self._split(looked[..., pairs : 2 * pairs])).sum(dim=-1)  # (B, L, H, M)
        first = looked[..., 2 * pairs :] + self.pdu_from_match(match.transpose(-1, -2))
        first = first + self.pdu_from_list(seen.transpose(-2, -3).flatten(-2))
        return self.pdu_head(first + (self.pdu_from_position + state.pdu_context)).squeeze(-1)

    def item_logits(
        self, state: GeneratorState, seen: Tensor, lists: Tensor, slot: Tensor
    ) -> Tensor:
        """See `Generator.item_logits`. The candidates are the last axis: nothing is turned."""
        offer, key, swap = state.on_offer
        around = slot[:, :, None, None, :] @ seen  # (B, L, H, 1, width)
        match = (around @ key).squeeze(-2)  # (B, L, H, N)
        first = self.cru_from_list(around.flatten(-3)) + slot @ self.cru_from_position
        first = (first + state.cru_context).unsqueeze(-1)  # (B, L, hidden, 1)
        hidden = self.cru_from_match.weight.t() @ match + offer + first  # (B, L, hidden, N)
        shape = (*first.shape[:-1], lists.shape[-1])  # (B, L, hidden, M)
        hidden = hidden.scatter_add(-1, lists.unsqueeze(-2).expand(shape), swap.expand(shape))
        return (self.cru_out.weight.t() @ torch.relu(hidden)).squeeze(-2)

    def _split(self, flat: Tensor) -> Tensor:
        """(B, L, M, H * width) -> (B, L, H, M, width)."""
        return flat.unflatten(-1, (self.heads, self.head_width)).transpose(-2, -3)
