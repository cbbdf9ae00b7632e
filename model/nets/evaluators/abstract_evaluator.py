"""Interface of evaluators: encode a request once, then score any number of lists.

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
    """A request's encoding by the evaluator, computed once for all its lists.

    candidates: (E, B, N, Z) float, encoding of each candidate; linear mixtures are meaningful,
        which the straight-through gradient needs.
    context: (E, B, 1, 1, hidden) float, the list-independent part.
    """

    candidates: Tensor
    context: Tensor


class Evaluator(nn.Module, ABC):
    """Ensemble of E members, stacked along the first axis.

    has_user_item_affinity: True where `user_item_affinity` is available.
    has_list_effects: True where `list_effects` is available.
    candidate_width: Z, last axis of `EncodedRequest.candidates`.
    context_width: last axis of `EncodedRequest.context`.
    """

    has_user_item_affinity: bool = False
    has_list_effects: bool = False
    members: int
    embedding: FieldEmbedding
    candidate_width: int
    context_width: int

    def embedding_params(self) -> list[nn.Parameter]:
        """Embedding tables, with their own weight decay because each row occurs in few lists."""
        return [self.embedding.weight]

    def bias_params(self) -> list[nn.Parameter]:
        """Bias embeddings, with a smaller weight decay than embeddings."""
        return []

    def structural_params(self) -> list[nn.Parameter]:
        """The few weights that every list updates, with their own learning rate."""
        return []

    def pair_residual_params(self) -> list[nn.Parameter]:
        """Residuals of single pairs of slots beside the shared weights; they decay to 0."""
        return []

    @abstractmethod
    def encode(self, request: RequestTensors) -> EncodedRequest:
        """Encode the request once for all its lists."""

    @abstractmethod
    def score(
        self, encoded: EncodedRequest, slot_encodings: Tensor, slot_valid: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Predict clicks and conversions of lists from the encodings of their slots.

        Args:
            encoded: encoding of the request.
            slot_encodings: (E, B, L, M, Z) float, candidate encodings by slot, or mixtures.
            slot_valid: (B, M) bool.

        Returns:
            p_click and p_conversion, (E, B, L, M) float each, 0 in padded slots.
        """

    @abstractmethod
    def scale_click_logits(self, factor: float) -> None:
        """Multiply the logit of a click, given examination, by a factor, in place.

        Temperature scaling is folded into the weights, so graphs need no node for it.
        """

    def observe_shown(self, slot_encodings: Tensor, slot_valid: Tensor) -> None:
        """Update statistics of shown items in training; nothing by default.

        Args:
            slot_encodings: (E, B, 1, M, Z) float, encodings of the shown items by slot.
            slot_valid: (B, M) bool.
        """

    def user_item_affinity(self, request: RequestTensors) -> Tensor:
        """Logits (E, B, N) of user and candidate by item-scope fields alone.

        Available only where `has_user_item_affinity`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no separate user-item affinity")

    def list_effects(
        self, encoded: EncodedRequest, slot_encodings: Tensor, slot_valid: Tensor
    ) -> Tensor:
        """Effect (E, B, L, M) of the other slots of a list on each slot's click logit.

        Available only where `has_list_effects`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no list effects")

    def forward(self, request: RequestTensors, lists: Tensor) -> tuple[Tensor, Tensor]:
        """Predict for lists (B, L, M) of candidate indices; see `score`."""
        encoded = self.encode(request)
        return self.score(encoded, gather_lists(encoded.candidates, lists), request.slot_valid)
