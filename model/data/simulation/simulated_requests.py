"""Draws candidates, upstream scores, shown lists and clicks of simulated requests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.data.log.ragged import IntArray
from model.data.simulation.click_world_config import ClickWorldConfig
from model.data.simulation.ground_truth import ClickWorld

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class SimulatedRequests:
    """A chunk of C simulated requests.

    user: (C,) rows of the users.
    candidates: (C, N) rows of the items, in upstream order.
    upstream_scores: (C, N) float32, falling.
    shown: (C, M) indices among the candidates.
    clicks: (C, M) int8.
    """

    user: IntArray
    candidates: IntArray
    upstream_scores: NDArray[np.float32]
    shown: IntArray
    clicks: NDArray[np.int8]


def systematic_upstream_bias(
    shape: tuple[int, ...], config: ClickWorldConfig
) -> NDArray[np.float32]:
    """(U, I) float32 standard normal: upstream error that every request of a pair repeats."""
    if not config.upstream_bias_share:
        return np.zeros(shape, dtype=np.float32)
    return np.random.default_rng((config.seed, 1)).standard_normal(shape, dtype=np.float32)


def simulate_requests(
    world: ClickWorld,
    user: IntArray,
    config: ClickWorldConfig,
    rng: np.random.Generator,
    *,
    popularity: FloatArray,
    upstream_bias: NDArray[np.float32],
    available: NDArray[np.bool_] | None = None,
) -> SimulatedRequests:
    """Draw candidates, upstream scores, shown lists and clicks for requests of users (C,).

    Args:
        world: tastes and response model.
        user: (C,) rows of the users.
        config: settings.
        rng: random stream of the chunk.
        popularity: (I,) ratings of each item.
        upstream_bias: (U, I) systematic part of the upstream error.
        available: (C, I) items that may be candidates of each request; None: all.
    """
    taste = world.taste[user]
    with np.errstate(divide="ignore"):  # items without ratings are never candidates
        pull = config.popularity_power * np.log(popularity) + config.taste_pull * taste
    if available is not None:
        pull = np.where(available, pull, -np.inf)
    perturbed = pull + rng.gumbel(size=pull.shape)  # Gumbel top-N: without replacement
    candidates = np.argpartition(-perturbed, config.candidates - 1, axis=1)[:, : config.candidates]
    score = config.upstream_weight * np.take_along_axis(taste, candidates, axis=1)
    independent_noise = np.sqrt(1.0 - config.upstream_bias_share) * rng.normal(
        0.0, 1.0, score.shape
    )
    systematic_noise = (
        np.sqrt(config.upstream_bias_share) * upstream_bias[user[:, None], candidates]
    )
    score = (score + config.upstream_noise * (independent_noise + systematic_noise)).astype(
        np.float32
    )
    order = np.argsort(-score, axis=1, kind="stable")
    candidates = np.take_along_axis(candidates, order, axis=1)
    score = np.take_along_axis(score, order, axis=1)
    explored = score + config.exploration * rng.gumbel(size=score.shape)
    shown = np.argsort(-explored, axis=1, kind="stable")[:, : config.slots]
    items = np.take_along_axis(candidates, shown, axis=1)
    return SimulatedRequests(user, candidates, score, shown, world.sample_clicks(user, items, rng))
