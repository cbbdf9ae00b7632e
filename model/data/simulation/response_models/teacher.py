"""Attention teacher: list effects by a fixed random transformer over the slots."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from model.config.toml_reader import STRICT_CONFIG
from model.data.simulation.response_models.probabilities import draw_independent, sigmoid
from model.data.simulation.response_models.random_transformer import (
    TransformerShape,
    build_random_transformer,
    output_scale,
)
from model.data.simulation.response_models.response_model import PRICE_FIELD, PresentedLists
from model.data.simulation.world_attributes import FloatArray

_CHUNK = 16_384  # lists at once: bounds the memory of the activations


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT_CONFIG)
class TeacherResponse:
    """Independent clicks; the logit is taste plus the output of a random transformer.

    P(click at j) = sigmoid(taste_weight s_j + effect_weight t_j - decay j - offset)
    t_j: output of the transformer for slot j, standardized on random lists. Each slot enters with
    its taste, log price, genre shares and slot number. All weights follow from `seed`.
    """

    item_fields: ClassVar[Collection[str]] = (PRICE_FIELD,)

    seed: int = 0
    layers: int = 2
    width: int = 16
    heads: int = 2
    sharpness: float = 2.0
    taste_weight: float = 1.0
    effect_weight: float = 0.8
    decay: float = 0.15
    offset: float = 4.0

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width={self.width} does not divide by heads={self.heads}")

    def click_probabilities(self, lists: PresentedLists) -> FloatArray:
        """(L, M) exact click probabilities; slots are independent."""
        effect = np.empty(lists.taste.shape)
        for first in range(0, len(effect), _CHUNK):
            part = slice(first, first + _CHUNK)
            effect[part] = self._effect(lists.take(part))
        j = np.arange(lists.taste.shape[1])
        logit = self.taste_weight * lists.taste + self.effect_weight * effect
        return sigmoid(logit - self.decay * j - self.offset)

    def sample_clicks(self, lists: PresentedLists, rng: np.random.Generator) -> NDArray[np.int8]:
        """(L, M) int8 clicks."""
        return draw_independent(self.click_probabilities(lists), rng)

    def _effect(self, lists: PresentedLists) -> FloatArray:
        """(L, M) standardized output of the transformer."""
        shape = TransformerShape(
            seed=self.seed,
            layers=self.layers,
            width=self.width,
            heads=self.heads,
            sharpness=self.sharpness,
        )
        taste, price = lists.taste[..., None], lists.log_price[..., None]
        own = np.concatenate([taste, price, lists.genre_shares], axis=-1).astype(np.float32)
        mean, spread = output_scale(shape, own.shape[-1])
        return (build_random_transformer(shape, own.shape[-1])(own) - mean) / spread
