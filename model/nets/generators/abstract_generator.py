"""What every generator offers (METHOD section 3): the PDU picks a slot, the CRU the item for it.

`nlgr_generator.py` is the published net, `guided_generator.py` is ours. Decisions are returned as
logits: how they are sampled is `edits.py`, how they learn `losses.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.nets.evaluators.abstract_evaluator import EncodedRequest
from model.nets.request_tensors import RequestTensors

TensorTuple = tuple[Tensor, ...]


class GeneratorState(NamedTuple):
    """A request as the generator sees it, computed once for all its lists and edits.

    Lists come as rows of flat tables: candidate n of request b is row b * N + n.

    first: (B, 1, 1) int64, the row of a request's candidate 0.
    in_list: tables of what a candidate contributes when it stands in a slot.
    candidate_tables: (B, ..), what the CRU looks at of the candidates that may be put into a slot.
    between: how slots see each other, and what a slot is by its place alone.
    """

    row_offset: Tensor
    slot_tables: TensorTuple
    candidate_tables: TensorTuple
    list_constants: TensorTuple


def row_offsets(valid: Tensor) -> Tensor:
    """(B, N) -> (B, 1, 1) int64: where in a flat table each request begins."""
    b, n = valid.shape
    return torch.arange(b, device=valid.device).view(b, 1, 1) * n


class Generator(nn.Module, ABC):
    """Both decision units. Nothing of a list enters `encode`, so it runs once a request.

    starts_from_relevance_order: whether lists begin in an `order` of its own, else as they are given.
    """

    starts_from_relevance_order = False

    @abstractmethod
    def encode(self, request: RequestTensors, evaluator_encoding: EncodedRequest) -> GeneratorState:
        """Compute what all lists and edits of a request share.

        Args:
            request: the batch.
            known: what the evaluator that judges the lists has computed of it.
        """

    def relevance_scores(
        self, evaluator_encoding: EncodedRequest, click_weight: Tensor, conversion_weight: Tensor
    ) -> Tensor | None:
        """(B, N): what each candidate is worth on its own, by which lists begin.

        None of nets whose lists begin as they are given.

        Args:
            known: what the evaluator has computed of the batch.
            click: (B, 1), what a click counts (`contract/refine.worth`).
            conversion: (B, N), what a conversion of each candidate counts.
        """
        return None

    @abstractmethod
    def encode_lists(self, state: GeneratorState, rows: Tensor) -> TensorTuple:
        """What the units compute of lists (B, L, M) of rows."""

    @abstractmethod
    def slot_logits(self, state: GeneratorState, list_encoding: TensorTuple) -> Tensor:
        """PDU: h (B, L, M), which slot is worth replacing. Masking is the caller's.

        Args:
            state: of the request.
            seen: from `encode_lists`.
        """

    @abstractmethod
    def item_logits(
        self, state: GeneratorState, list_encoding: TensorTuple, rows: Tensor, edited_slot: Tensor
    ) -> Tensor:
        """CRU: g (B, L, N), which candidate goes into the slot. Masking is the caller's.

        Args:
            state: of the request.
            seen: from `encode_lists`; of one list where several differ in the chosen slot alone.
            rows: (B, L, M) int64, what stands where.
            chosen: (B, L, 1) int64, the slot to fill.
        """
