"""What every evaluator offers: encode a request once, then score as many lists as wanted.

`nlgr_evaluator.py` is the published net, `context_evaluator.py` and `pair_evaluator.py` are ours.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from model.nets.blocks.field_embedding import FieldEmbedding
from model.nets.blocks.layers import gather_lists
from model.nets.request_tensors import RequestTensors


class EncodedRequest(NamedTuple):
    """A request as the evaluator sees it, computed once for all its lists.

    candidates: (E, B, N, Z), everything a slot needs of a candidate; linear mixtures of it are
        meaningful, which is what the straight-through gradient uses.
    context: (E, B, 1, 1, hidden), the part that no list changes.
    """

    candidates: Tensor
    context: Tensor


class Evaluator(nn.Module, ABC):
    """E members side by side. The generator starts from what it shares with the first of them."""

    has_user_item_affinity: bool = (
        False  # apart from all else, so that `user_item_affinity` gives it
    )
    has_list_effects: bool = False  # to the relevance of items, so that `list_effects` gives it
    members: int
    embedding: FieldEmbedding
    candidate_width: int  # Z of `Encoded.candidates`
    context_width: int  # width of `Encoded.context`

    def embedding_params(self) -> list[nn.Parameter]:
        """Weights of rows, each met in few lists: they are decayed on their own."""
        return [self.embedding.weight]

    def bias_params(self) -> list[nn.Parameter]:
        """Biases of rows, which must not be held as small as embeddings: another decay."""
        return []

    def structural_params(self) -> list[nn.Parameter]:
        """The few weights that every list moves: they learn at a rate of their own."""
        return []

    def pair_residual_params(self) -> list[nn.Parameter]:
        """What single places have beyond structural weights that all share: it decays to 0."""
        return []

    @abstractmethod
    def encode(self, request: RequestTensors) -> EncodedRequest:
        """Compute what all lists of a request share."""

    @abstractmethod
    def score(
        self, encoded: EncodedRequest, slot_encodings: Tensor, slot_valid: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Predict for lists given by what stands in their slots.

        Args:
            encoded: of the request.
            shown: (E, B, L, M, Z), candidates' numbers by slot, hard or mixed.
            slot_valid: (B, M) bool.

        Returns:
            p_click and p_conversion, (E, B, L, M) each, 0 in a slot that is not there.
        """

    @abstractmethod
    def scale_click_logits(self, factor: float) -> None:
        """Multiply the logit of a click, given that the slot is looked at, by a factor, in place.

        Temperature scaling written into weights: graphs have no node of it.
        """

    def user_item_affinity(self, request: RequestTensors) -> Tensor:
        """(E, B, N) logits: how user and candidate go together by the item's own fields alone.

        Of nets where `has_user_item_affinity`.
        """
        raise NotImplementedError(f"{type(self).__name__} does not keep affinity apart")

    def list_effects(
        self, encoded: EncodedRequest, slot_encodings: Tensor, slot_valid: Tensor
    ) -> Tensor:
        """(E, B, L, M): what the rest of a list adds to the logit of each slot.

        Of nets where `has_list_effects`.
        """
        raise NotImplementedError(f"{type(self).__name__} does not add lists to relevance")

    def forward(self, request: RequestTensors, lists: Tensor) -> tuple[Tensor, Tensor]:
        """Predict for lists (B, L, M) of places in the candidates; see `score_items`."""
        encoded = self.encode(request)
        return self.score(encoded, gather_lists(encoded.candidates, lists), request.slot_valid)
