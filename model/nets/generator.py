"""What every generator offers (METHOD section 3): the PDU picks a slot, the CRU the item for it.

`nlgr_generator.py` is the published net, `guided_generator.py` is ours. Decisions are returned as
logits: how they are sampled is `edits.py`, how they learn `losses.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.nets.evaluator import Encoded
from model.nets.inputs import RequestTensors

Parts = tuple[Tensor, ...]


class GeneratorState(NamedTuple):
    """A request as the generator sees it, computed once for all its lists and edits.

    Lists come as rows of flat tables: candidate n of request b is row b * N + n.

    first: (B, 1, 1) int64, the row of a request's candidate 0.
    in_list: tables of what a candidate contributes when it stands in a slot.
    on_offer: (B, ..), what the CRU looks at of the candidates that may be put into a slot.
    between: how slots see each other, and what a slot is by its place alone.
    """

    first: Tensor
    in_list: Parts
    on_offer: Parts
    between: Parts


def first_rows(valid: Tensor) -> Tensor:
    """(B, N) -> (B, 1, 1) int64: where in a flat table each request begins."""
    b, n = valid.shape
    return torch.arange(b, device=valid.device).view(b, 1, 1) * n


class Generator(nn.Module, ABC):
    """Both decision units. Nothing of a list enters `encode`, so it runs once a request.

    by_relevance: whether lists begin in an `order` of its own, else as they are given.
    """

    by_relevance = False

    @abstractmethod
    def encode(self, request: RequestTensors, known: Encoded) -> GeneratorState:
        """Compute what all lists and edits of a request share.

        Args:
            request: the batch.
            known: what the evaluator that judges the lists has computed of it.
        """

    def order(self, known: Encoded, click: Tensor, conversion: Tensor) -> Tensor | None:
        """(B, N): what each candidate is worth on its own, by which lists begin.

        None of nets whose lists begin as they are given.

        Args:
            known: what the evaluator has computed of the batch.
            click: (B, 1), what a click counts (`contract/refine.worth`).
            conversion: (B, N), what a conversion of each candidate counts.
        """
        return None

    @abstractmethod
    def see(self, state: GeneratorState, rows: Tensor) -> Parts:
        """What the units compute of lists (B, L, M) of rows."""

    @abstractmethod
    def slot_logits(self, state: GeneratorState, seen: Parts) -> Tensor:
        """PDU: h (B, L, M), which slot is worth replacing. Masking is the caller's.

        Args:
            state: of the request.
            seen: from `see`.
        """

    @abstractmethod
    def item_logits(
        self, state: GeneratorState, seen: Parts, rows: Tensor, chosen: Tensor
    ) -> Tensor:
        """CRU: g (B, L, N), which candidate goes into the slot. Masking is the caller's.

        Args:
            state: of the request.
            seen: from `see`; of one list where several differ in the chosen slot alone.
            rows: (B, L, M) int64, what stands where.
            chosen: (B, L, 1) int64, the slot to fill.
        """
