"""The guided generator: PDU and CRU that read the evaluator's own encoding of the candidates.

The published generator learns embeddings of its own from gains alone, and hardly learns who likes
what. Here the evaluator brings that, and what is learned is which edit it would like: how a
candidate goes with the slot, and with what stands in the other slots (METHOD section 3).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.nets.blocks.layers import Dense, SummedInputMlp, candidate_pooling_masks
from model.nets.evaluators.abstract_evaluator import EncodedRequest
from model.nets.evaluators.pair_evaluator import ITEM_LOGITS
from model.nets.generators.abstract_generator import (
    Generator,
    GeneratorState,
    TensorTuple,
    row_offsets,
)
from model.nets.request_tensors import RequestTensors


class GuidedGenerator(Generator):
    """The CRU: g_k = MLP(x_k | U_j | <U_j, k_k> | u | PE_j). The PDU: the same of what is there.

    x and u are what the evaluator knows of item and user. U_hj = sum over other slots l of
    near_hjl v_hl is what surrounds slot j, for each of H heads; k_h are keys and v_h gated values
    of x, so <U_hj, k_hk> says how candidate k goes with the list around the slot. The PDU also
    sees maximum and mean over the candidates: whether there is something better to be had.
    """

    off_diagonal: Tensor
    head_mask: Tensor

    def __init__(
        self,
        *,
        members: int,
        candidate_width: int,
        context_width: int,
        slots: int,
        hidden: int,
        heads: int,
        head_width: int,
        starts_from_relevance_order: bool = False,
    ) -> None:
        """Build with fresh weights.

        Args:
            members, known, shared: E, Z and width of the context of the evaluator's encoding.
            slots: M at most.
            hidden: width of both units.
            heads, head_width: H, and numbers a head.
            starts_from_relevance_order: whether lists begin with the candidates that are worth most on their own,
                which a pair evaluator tells.
        """
        super().__init__()
        self.heads, self.head_width, self.hidden = heads, head_width, hidden
        self.starts_from_relevance_order = starts_from_relevance_order
        size, pairs = members * candidate_width, heads * head_width
        self.value = Dense(size, pairs, bias=False)
        self.gate = Dense(size, heads)
        self.key = Dense(size, pairs, bias=False)
        self.slot_pair_weights = nn.Parameter(torch.randn(heads, slots, slots) * 0.3)
        self.pdu_item_projection = Dense(size, hidden)
        self.pdu_candidate_projection = Dense(size, hidden)
        self.pdu_user_projection = Dense(members * context_width, hidden, bias=False)
        self.cru_user_projection = Dense(members * context_width, hidden, bias=False)
        self.pdu_pool_projection = Dense(2 * hidden, hidden, bias=False)
        self.pdu_list_projection = Dense(pairs, hidden, bias=False)
        self.pdu_match_projection = Dense(heads, hidden, bias=False)
        self.pdu_position_embedding = nn.Parameter(torch.randn(slots, hidden) * 0.1)
        self.pdu_head = SummedInputMlp(hidden, 1)
        self.cru_item_projection = Dense(size, hidden)
        self.cru_list_projection = Dense(pairs, hidden, bias=False)
        self.cru_match_projection = Dense(heads, hidden, bias=False)
        self.cru_position_embedding = nn.Parameter(torch.randn(slots, hidden) * 0.1)
        self.cru_swap_embedding = nn.Parameter(
            torch.zeros(hidden, slots)
        )  # k stands in slot l already
        self.cru_out = Dense(hidden, 1, bias=False)
        self.register_buffer("off_diagonal", 1.0 - torch.eye(slots), persistent=False)
        own = torch.eye(heads).repeat_interleave(head_width, dim=1)  # (H, H * width)
        self.register_buffer("head_mask", own, persistent=False)

    def encode(self, request: RequestTensors, evaluator_encoding: EncodedRequest) -> GeneratorState:
        """See `Generator.encode`. No gradient reaches the evaluator."""
        x = evaluator_encoding.candidates.detach().movedim(0, -2).flatten(-2)  # (B, N, E * Z)
        pairs, hidden = self.heads * self.head_width, self.hidden
        parts = (self.value, self.key, self.gate)
        units = (self.pdu_item_projection, self.cru_item_projection, self.pdu_candidate_projection)
        made = x @ torch.cat([part.weight for part in (*parts, *units)], dim=-1)
        value, key, gate, item, offer, pool = made.split(
            (pairs, pairs, self.heads, hidden, hidden, hidden), dim=-1
        )
        gate = torch.sigmoid(gate + self.gate.bias).unsqueeze(-1)  # (B, N, H, 1)
        value = (value.unflatten(-1, (self.heads, self.head_width)) * gate).flatten(-2)
        pdu, cru = self._contexts(request, evaluator_encoding, pool)
        there = request.slot_valid.to(x.dtype)
        by_head = there[:, None, None, :, None].expand(-1, 1, 1, -1, self.heads).flatten(-2)
        swap = self.cru_swap_embedding * there[:, None, None, :]
        match = self.cru_match_projection.weight.t().expand(*swap.shape[:-1], -1)
        return GeneratorState(
            row_offsets(request.cand_valid),
            (torch.cat([value, key, item + pdu], dim=-1).flatten(0, 1),),
            (
                (offer + cru).transpose(-1, -2).unsqueeze(1),  # (B, 1, hidden, N)
                key.transpose(-1, -2),  # (B, H * width, N)
            ),
            (
                self._slot_pair_matrix() * by_head,  # (B, 1, M * H, M * H)
                torch.cat([match, swap], dim=-1),  # (B, 1, hidden, H + M)
            ),
        )

    def relevance_scores(
        self, evaluator_encoding: EncodedRequest, click_weight: Tensor, conversion_weight: Tensor
    ) -> Tensor | None:
        """See `Generator.order`: p_click and p_conversion of no slot and no list."""
        if not self.starts_from_relevance_order:
            return None
        mean = evaluator_encoding.candidates.detach()[..., ITEM_LOGITS].mean(
            dim=0
        )  # (B, N, 2) logits
        p_click, p_conversion = torch.sigmoid(mean).unbind(dim=-1)
        return p_click * (click_weight + p_conversion * conversion_weight)

    def _contexts(
        self, request: RequestTensors, known: EncodedRequest, pool: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What no list changes, and biases, for PDU and CRU: (B, 1, hidden) each.

        pool: (B, N, hidden), whose maximum and mean over the candidates the PDU is told.
        """
        floor, share = candidate_pooling_masks(request.cand_valid)
        most, mean = (pool + floor).amax(dim=1), (share @ pool).squeeze(1)
        user = known.context.detach().flatten(2).movedim(0, -2).flatten(-2)  # (B, E * shared)
        of_pool = self.pdu_pool_projection.weight
        offset = self.pdu_candidate_projection.bias
        assert offset is not None and self.pdu_item_projection.bias is not None  # noqa: PT018
        bias = torch.cat([offset, offset]) @ of_pool + self.pdu_item_projection.bias
        pdu = torch.addmm(bias, torch.cat([most, mean], dim=-1), of_pool)
        pdu = pdu + self.pdu_user_projection(user)
        return pdu.unsqueeze(1), (
            self.cru_user_projection(user) + self.cru_item_projection.bias
        ).unsqueeze(1)

    def _slot_pair_matrix(self) -> Tensor:
        """(M * H, M * H): `near` of all heads as one matrix that mixes no heads."""
        apart = torch.eye(self.heads, device=self.slot_pair_weights.device)
        every = (self.slot_pair_weights * self.off_diagonal).permute(1, 2, 0).unsqueeze(
            -1
        ) * apart  # (j, l, H, H)
        return every.transpose(1, 2).flatten(2, 3).flatten(0, 1)

    def encode_lists(self, state: GeneratorState, rows: Tensor) -> TensorTuple:
        """U (B, L, M, H * width), what surrounds every slot; key and PDU's part of its item."""
        pairs = self.heads * self.head_width
        looked = functional.embedding(rows, state.slot_tables[0])
        value, key, item = looked.split((pairs, pairs, self.hidden), dim=-1)
        by_head = value.reshape(*value.shape[:2], -1, self.head_width)  # (B, L, M * H, width)
        return (state.list_constants[0] @ by_head).view(value.shape), key, item

    def slot_logits(self, state: GeneratorState, list_encoding: TensorTuple) -> Tensor:
        """See `Generator.slot_logits`."""
        around, key, item = list_encoding
        weight = torch.cat(
            [self.pdu_list_projection.weight, self._per_head_weight(self.pdu_match_projection)]
        )
        told = torch.cat([around, around * key], dim=-1) @ weight
        return self.pdu_head.single_logit(item + told + self.pdu_position_embedding)

    def item_logits(
        self, state: GeneratorState, list_encoding: TensorTuple, rows: Tensor, edited_slot: Tensor
    ) -> Tensor:
        """See `Generator.item_logits`. The candidates are the last axis: nothing is turned."""
        offer, key = state.candidate_tables
        n, m = offer.shape[-1], rows.shape[-1]
        slot = functional.embedding(edited_slot, torch.eye(m, device=rows.device))  # (B, L, 1, M)
        around = slot @ list_encoding[0]  # (B, L, 1, H * width)
        heads = (self.head_mask * around).flatten(1, 2)  # (B, L * H, H * width)
        match = (heads @ key).unflatten(1, (rows.shape[1], -1))  # (B, L, H, N)
        candidates = (torch.arange(n, device=rows.device) + state.row_offset).unsqueeze(-2)
        stands = (rows.unsqueeze(-1) == candidates).to(match.dtype)  # (B, L, M, N)
        told = torch.cat([self.cru_position_embedding, self.cru_list_projection.weight])
        first = (torch.cat([slot, around], dim=-1) @ told).transpose(-1, -2)  # (B, L, hidden, 1)
        hidden = state.list_constants[1] @ torch.cat([match, stands], dim=-2) + offer + first
        return (self.cru_out.weight.t() @ torch.relu(hidden)).squeeze(-2)

    def _per_head_weight(self, match: Dense) -> Tensor:
        """(H * width, hidden): a head's weight for each of its products, whose sum is its match."""
        return match.weight.repeat_interleave(self.head_width, dim=0)
