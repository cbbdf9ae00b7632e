"""Interface of generators: the PDU picks a slot, the CRU picks its new item.

`nlgr_generator.py` is the published net, `guided_generator.py` is ours. Decisions are returned as
logits: `list_editing.py` samples them, `model.training.losses` trains them. See
docs/explanation/method.md#published-generator.
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
    """A request's encoding by the generator, computed once for all its lists and edits.

    Lists are rows of flat tables: candidate n of request b is row b * N + n.

    row_offset: (B, 1, 1) int64, the row of a request's candidate 0.
    slot_tables: (B * N, ..) each, contributions of a candidate that is in the list.
    candidate_tables: (B, ..) each, inputs of the CRU for candidates that may enter a slot.
    list_constants: weights between slots and of slot positions, the same for all lists.
    """

    row_offset: Tensor
    slot_tables: TensorTuple
    candidate_tables: TensorTuple
    list_constants: TensorTuple


def row_offsets(valid: Tensor) -> Tensor:
    """First row of each request in a flat table, (B, 1, 1) int64, from `valid` (B, N)."""
    b, n = valid.shape
    return torch.arange(b, device=valid.device).view(b, 1, 1) * n


class Generator(nn.Module, ABC):
    """Both decision units. `encode` does not depend on lists, so it runs once per request.

    starts_from_relevance_order: True where lists start in the order of `relevance_scores`, False
        where they start at the input list.
    """

    starts_from_relevance_order = False

    @abstractmethod
    def encode(self, request: RequestTensors, evaluator_encoding: EncodedRequest) -> GeneratorState:
        """Encode the request once for all its lists and edits.

        Args:
            request: the batch.
            evaluator_encoding: encoding of the same batch by the evaluator that scores the lists.
        """

    def relevance_scores(
        self, evaluator_encoding: EncodedRequest, click_weight: Tensor, conversion_weight: Tensor
    ) -> Tensor | None:
        """Expected reward (B, N) of each candidate alone, which orders the start lists.

        None for generators whose lists start at the input list.

        Args:
            evaluator_encoding: encoding of the batch.
            click_weight: (B, 1) float, reward of a click.
            conversion_weight: (B, N) float, reward of a conversion of each candidate.
        """
        return None

    @abstractmethod
    def encode_lists(self, state: GeneratorState, rows: Tensor) -> TensorTuple:
        """Encode lists (B, L, M) of rows for both units."""

    @abstractmethod
    def slot_logits(self, state: GeneratorState, list_encoding: TensorTuple) -> Tensor:
        """Logits (B, L, M) of the PDU: the slot to replace. The caller masks them.

        Args:
            state: encoded request.
            list_encoding: from `encode_lists`.
        """

    @abstractmethod
    def item_logits(
        self, state: GeneratorState, list_encoding: TensorTuple, rows: Tensor, edited_slot: Tensor
    ) -> Tensor:
        """Logits (B, L, N) of the CRU: the candidate for the slot. The caller masks them.

        Args:
            state: encoded request.
            list_encoding: from `encode_lists`; one list may broadcast over several edited slots.
            rows: (B, L, M) int64, the row of each slot's item.
            edited_slot: (B, L, 1) int64, the slot to fill.
        """
