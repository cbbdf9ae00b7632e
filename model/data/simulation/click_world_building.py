"""Builds the hidden part of a click world from ML-100K: tastes, attributes, response model."""

from __future__ import annotations

import numpy as np

from model.data.movielens.ml100k import MovieLensData
from model.data.simulation.click_world_config import ClickWorldConfig
from model.data.simulation.factorization import FactorizationConfig, predict_ratings, standardize
from model.data.simulation.ground_truth import ClickWorld
from model.data.simulation.world_attributes import (
    RECENT_ITEMS,
    ItemGenres,
    draw_world_attributes,
)


def build_click_world(data: MovieLensData, config: ClickWorldConfig) -> ClickWorld:
    """Click world whose tastes are fitted to all ratings."""
    stars = predict_ratings(
        data.ratings,
        len(data.user_ids),
        len(data.item_ids),
        FactorizationConfig(),
        config.seed,
    )
    taste = standardize(stars).astype(np.float32)
    genres = ItemGenres(data.genre_matrix.astype(np.float32))
    rated = data.ratings
    recent = [rated.item[rated.user == u][-RECENT_ITEMS:] for u in range(len(data.user_ids))]
    return ClickWorld(
        user_ids=data.user_ids,
        item_ids=data.item_ids,
        taste=taste,
        attributes=draw_world_attributes(genres, taste, recent, config.seed),
        response=config.response_model(),
    )
