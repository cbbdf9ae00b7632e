"""Interface of generators (METHOD section 3): the PDU picks a slot, the CRU its new item.

`nlgr_generator.py` is the published net, `guided_generator.py` is ours. Decisions are returned as
logits: `list_editing.py` samples them, `model.training.losses` trains them.
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

    Lists are given as rows of flat tables: candidate n of request b is row b * N + n.

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
    """(B, N) bool -> (B, 1, 1) int64: the first row of each request in a flat table."""
    b, n = valid.shape
    return torch.arange(b, device=valid.device).view(b, 1, 1) * n


class Generator(nn.Module, ABC):
    """Both decision units. Nothing of a list enters `encode`, so it runs once a request.

    starts_from_relevance_order: lists start in the order of `relevance_scores`, else at the input
        list.
    """

    starts_from_relevance_order = False

    @abstractmethod
    def encode(self, request: RequestTensors, evaluator_encoding: EncodedRequest) -> GeneratorState:
        """Compute what all lists and edits of a request share.

        Args:
            request: the batch.
            evaluator_encoding: of the same batch, from the evaluator that scores the lists.
        """

    def relevance_scores(
        self, evaluator_encoding: EncodedRequest, click_weight: Tensor, conversion_weight: Tensor
    ) -> Tensor | None:
        """(B, N) float, expected reward of each candidate alone, by which lists start.

        None for generators whose lists start at the input list.

        Args:
            evaluator_encoding: of the batch.
            click_weight: (B, 1) float, reward of a click.
            conversion_weight: (B, N) float, reward of a conversion of each candidate.
        """
        return None

    @abstractmethod
    def encode_lists(self, state: GeneratorState, rows: Tensor) -> TensorTuple:
        """Encode lists (B, L, M) of rows for both units."""

    @abstractmethod
    def slot_logits(self, state: GeneratorState, list_encoding: TensorTuple) -> Tensor:
        """PDU: logits (B, L, M) of the slot to replace. The caller masks them.

        Args:
            state: of the request.
            list_encoding: from `encode_lists`.
        """

    @abstractmethod
    def item_logits(
        self, state: GeneratorState, list_encoding: TensorTuple, rows: Tensor, edited_slot: Tensor
    ) -> Tensor:
        """CRU: logits (B, L, N) of the candidate for the slot. The caller masks them.

        Args:
            state: of the request.
            list_encoding: from `encode_lists`; one list may broadcast over several edited slots.
            rows: (B, L, M) int64, the row of each slot's item.
            edited_slot: (B, L, 1) int64, the slot to fill.
        """
