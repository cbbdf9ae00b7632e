"""What every generator offers (METHOD section 3): the PDU picks a slot, the CRU the item for it.

`nlgr_generator.py` is the published net, `guided_generator.py` is ours. Decisions are returned as
logits: how they are sampled is `edits.py`, how they learn `losses.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from model.nets.evaluator import Encoded
from model.nets.inputs import RequestTensors
from model.nets.layers import take_lists


class GeneratorState(NamedTuple):
    """A request as the generator sees it, computed once for all its lists and edits.

    in_list: (B, N, Zg), what a candidate contributes when it stands in a slot.
    on_offer: (B, ..), what the CRU looks at of the candidates that may be put into a slot.
    pdu_context, cru_context: (B, 1, 1, hidden) and (B, 1, hidden), parts that no list changes.
    between: (B, 1, ..), how slots see each other; slots that are not there are seen by none.
    """

    in_list: Tensor
    on_offer: tuple[Tensor, ...]
    pdu_context: Tensor
    cru_context: Tensor
    between: Tensor


class Generator(nn.Module, ABC):
    """Both decision units. Nothing of a list enters `encode`, so it runs once a request."""

    @abstractmethod
    def encode(self, request: RequestTensors, known: Encoded) -> GeneratorState:
        """Compute what all lists and edits of a request share.

        Args:
            request: the batch.
            known: what the evaluator that judges the lists has computed of it.
        """

    def look(self, state: GeneratorState, lists: Tensor) -> Tensor:
        """What stands in the slots of lists (B, L, M): (B, L, M, Zg)."""
        return take_lists(state.in_list, lists)

    @abstractmethod
    def see(self, state: GeneratorState, looked: Tensor) -> Tensor:
        """What both units compute of lists (B, L, M, Zg): (B, L, ..)."""

    @abstractmethod
    def slot_logits(self, state: GeneratorState, looked: Tensor, seen: Tensor) -> Tensor:
        """PDU: h (B, L, M), which slot is worth replacing. Masking is the caller's.

        Args:
            state: of the request.
            looked, seen: from `look` and `see`.
        """

    @abstractmethod
    def item_logits(
        self, state: GeneratorState, seen: Tensor, lists: Tensor, slot: Tensor
    ) -> Tensor:
        """CRU: g (B, L, N), which candidate goes into the slot. Masking is the caller's.

        Args:
            state: of the request.
            seen: from `see`.
            lists: (B, L, M) int, what stands where.
            slot: (B, L, M) float one-hot of the slot to fill.
        """
