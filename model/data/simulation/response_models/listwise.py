"""Pairwise effects: attention falls with the slot, similar items above reduce appeal."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from model.config.toml_reader import STRICT_CONFIG
from model.data.simulation.response_models.probabilities import draw_independent, sigmoid
from model.data.simulation.response_models.response_model import PresentedLists
from model.data.simulation.world_attributes import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT_CONFIG)
class ListwiseResponse:
    """Attention falls with the slot; similar items above reduce appeal; contrast adds appeal.

    P(click at j) = 1 / (1 + decay j) * sigmoid(taste_weight s_j - saturation_weight sat_j
                    + contrast_weight contrast_j - offset)
    sat_j = sum over i above j of cosine(i, j) exp(-(j - i - 1) / reach)
    contrast_j = s_j minus the mean s of the slots next to j
    """

    item_fields: ClassVar[Collection[str]] = ()

    taste_weight: float = 1.1
    saturation_weight: float = 1.3
    contrast_weight: float = 0.6
    offset: float = 0.9
    decay: float = 0.25
    reach: float = 3.0

    def click_probabilities(self, lists: PresentedLists) -> FloatArray:
        """(L, M) exact click probabilities; slots are independent."""
        taste, slots = lists.taste, lists.taste.shape[1]
        j = np.arange(slots)
        above = np.where(j[:, None] > j, np.exp(-(j[:, None] - j - 1) / self.reach), 0.0)
        saturation = np.einsum("ljk,jk->lj", lists.similarity, above.astype(np.float32))
        logit = self.taste_weight * taste - self.saturation_weight * saturation
        logit = logit + self.contrast_weight * (taste - _adjacent_mean(taste)) - self.offset
        return sigmoid(logit) / (1.0 + self.decay * j)

    def sample_clicks(self, lists: PresentedLists, rng: np.random.Generator) -> NDArray[np.int8]:
        """(L, M) int8 clicks."""
        return draw_independent(self.click_probabilities(lists), rng)


def _adjacent_mean(taste: FloatArray) -> FloatArray:
    """(L, M) mean taste of the one or two adjacent slots; of itself in a list of one."""
    slots = taste.shape[1]
    if slots == 1:
        return taste
    total, count = np.zeros_like(taste), np.zeros(slots, dtype=taste.dtype)
    total[:, 1:] += taste[:, :-1]
    count[1:] += 1
    total[:, :-1] += taste[:, 1:]
    count[:-1] += 1
    return total / count
