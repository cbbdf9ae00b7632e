"""The guided generator: PDU and CRU that read the evaluator's encoding of the candidates.

The published generator learns its own embeddings from gains alone, which carry little about user
preferences. Here the evaluator provides them; the generator learns how a candidate fits the slot
and the items of the other slots. See docs/explanation/method.md#guided-generator.
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
    """CRU: g_k = MLP(x_k | U_j | <U_j, k_k> | u | PE_j). PDU: the same for the item of slot j.

    x and u are the evaluator's encodings of item and user. U_hj = sum over other slots l of
    w_hjl v_hl is the context of slot j, for each of `heads` heads h; w are slot pair weights, k_h
    keys and v_h gated values of x, so <U_hj, k_hk> measures how candidate k fits the list around
    the slot. The PDU also reads the maximum and the mean over the candidates.
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
            members, candidate_width, context_width: E, Z and context width of the evaluator's
                encoding.
            slots: largest M.
            hidden: width of both units.
            heads, head_width: number of heads, and width of each.
            starts_from_relevance_order: start lists in the order of `relevance_scores`; needs a
                pair evaluator.
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
        )  # for a candidate in slot l
        self.cru_out = Dense(hidden, 1, bias=False)
        self.register_buffer("off_diagonal", 1.0 - torch.eye(slots), persistent=False)
        head_mask = torch.eye(heads).repeat_interleave(head_width, dim=1)  # (H, H * width)
        self.register_buffer("head_mask", head_mask, persistent=False)

    def encode(self, request: RequestTensors, evaluator_encoding: EncodedRequest) -> GeneratorState:
        """See `Generator.encode`. The evaluator's encoding is detached."""
        x = evaluator_encoding.candidates.detach().movedim(0, -2).flatten(-2)  # (B, N, E * Z)
        pairs, hidden = self.heads * self.head_width, self.hidden
        parts = (self.value, self.key, self.gate)
        units = (self.pdu_item_projection, self.cru_item_projection, self.pdu_candidate_projection)
        projected = x @ torch.cat([part.weight for part in (*parts, *units)], dim=-1)
        value, key, gate, pdu_item, cru_item, pool = projected.split(
            (pairs, pairs, self.heads, hidden, hidden, hidden), dim=-1
        )
        gate = torch.sigmoid(gate + self.gate.bias).unsqueeze(-1)  # (B, N, H, 1)
        value = (value.unflatten(-1, (self.heads, self.head_width)) * gate).flatten(-2)
        pdu, cru = self._contexts(request, evaluator_encoding, pool)
        valid = request.slot_valid.to(x.dtype)
        by_head = valid[:, None, None, :, None].expand(-1, 1, 1, -1, self.heads).flatten(-2)
        swap = self.cru_swap_embedding * valid[:, None, None, :]
        match = self.cru_match_projection.weight.t().expand(*swap.shape[:-1], -1)
        return GeneratorState(
            row_offsets(request.cand_valid),
            (torch.cat([value, key, pdu_item + pdu], dim=-1).flatten(0, 1),),
            (
                (cru_item + cru).transpose(-1, -2).unsqueeze(1),  # (B, 1, hidden, N)
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
        """See `Generator.relevance_scores`; uses p_click and p_conversion without slot and list."""
        if not self.starts_from_relevance_order:
            return None
        mean = evaluator_encoding.candidates.detach()[..., ITEM_LOGITS].mean(
            dim=0
        )  # (B, N, 2) logits
        p_click, p_conversion = torch.sigmoid(mean).unbind(dim=-1)
        return p_click * (click_weight + p_conversion * conversion_weight)

    def _contexts(
        self, request: RequestTensors, encoded: EncodedRequest, pool: Tensor
    ) -> tuple[Tensor, Tensor]:
        """List-independent inputs and biases of PDU and CRU, (B, 1, hidden) each.

        Args:
            request, encoded: the batch and its encoding by the evaluator.
            pool: (B, N, hidden), whose maximum and mean over candidates the PDU reads.
        """
        max_bias, mean_weight = candidate_pooling_masks(request.cand_valid)
        maximum, mean = (pool + max_bias).amax(dim=1), (mean_weight @ pool).squeeze(1)
        user = encoded.context.detach().flatten(2).movedim(0, -2).flatten(-2)  # (B, E * shared)
        pool_weight = self.pdu_pool_projection.weight
        offset = self.pdu_candidate_projection.bias
        assert offset is not None and self.pdu_item_projection.bias is not None  # noqa: PT018
        bias = torch.cat([offset, offset]) @ pool_weight + self.pdu_item_projection.bias
        pdu = torch.addmm(bias, torch.cat([maximum, mean], dim=-1), pool_weight)
        pdu = pdu + self.pdu_user_projection(user)
        return pdu.unsqueeze(1), (
            self.cru_user_projection(user) + self.cru_item_projection.bias
        ).unsqueeze(1)

    def _slot_pair_matrix(self) -> Tensor:
        """Slot pair weights as one matrix (M * heads, M * heads), zero between heads."""
        identity = torch.eye(self.heads, device=self.slot_pair_weights.device)
        weights = (self.slot_pair_weights * self.off_diagonal).permute(1, 2, 0)  # (j, l, H)
        blocks = weights.unsqueeze(-1) * identity  # (j, l, H, H)
        return blocks.transpose(1, 2).flatten(2, 3).flatten(0, 1)

    def encode_lists(self, state: GeneratorState, rows: Tensor) -> TensorTuple:
        """Return the context U (B, L, M, heads * width) and, of each item, key and PDU input."""
        pairs = self.heads * self.head_width
        gathered = functional.embedding(rows, state.slot_tables[0])
        value, key, item = gathered.split((pairs, pairs, self.hidden), dim=-1)
        by_head = value.reshape(*value.shape[:2], -1, self.head_width)  # (B, L, M * H, width)
        return (state.list_constants[0] @ by_head).view(value.shape), key, item

    def slot_logits(self, state: GeneratorState, list_encoding: TensorTuple) -> Tensor:
        """See `Generator.slot_logits`."""
        around, key, item = list_encoding
        weight = torch.cat(
            [self.pdu_list_projection.weight, self._per_head_weight(self.pdu_match_projection)]
        )
        context = torch.cat([around, around * key], dim=-1) @ weight
        return self.pdu_head.single_logit(item + context + self.pdu_position_embedding)

    def item_logits(
        self, state: GeneratorState, list_encoding: TensorTuple, rows: Tensor, edited_slot: Tensor
    ) -> Tensor:
        """See `Generator.item_logits`. Candidates are the last axis, which saves transposes."""
        cru_item, key = state.candidate_tables
        n, m = cru_item.shape[-1], rows.shape[-1]
        slot = functional.embedding(edited_slot, torch.eye(m, device=rows.device))  # (B, L, 1, M)
        around = slot @ list_encoding[0]  # (B, L, 1, H * width)
        heads = (self.head_mask * around).flatten(1, 2)  # (B, L * H, H * width)
        match = (heads @ key).unflatten(1, (rows.shape[1], -1))  # (B, L, H, N)
        candidates = (torch.arange(n, device=rows.device) + state.row_offset).unsqueeze(-2)
        in_slot = (rows.unsqueeze(-1) == candidates).to(match.dtype)  # (B, L, M, N)
        weight = torch.cat([self.cru_position_embedding, self.cru_list_projection.weight])
        first = (torch.cat([slot, around], dim=-1) @ weight).transpose(-1, -2)  # (B, L, hidden, 1)
        hidden = state.list_constants[1] @ torch.cat([match, in_slot], dim=-2) + cru_item + first
        return (self.cru_out.weight.t() @ torch.relu(hidden)).squeeze(-2)

    def _per_head_weight(self, match: Dense) -> Tensor:
        """Weights of heads, repeated for each product of a head: (heads * width, hidden)."""
        return match.weight.repeat_interleave(self.head_width, dim=0)
