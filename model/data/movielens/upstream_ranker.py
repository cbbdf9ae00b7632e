"""The upstream ranker of the movielens log: scores items from past ratings only.

A score is the mean rating of the item plus the taste of the user for its genres, both shrunk
towards a prior.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.data.log.ragged import IntArray
from model.data.movielens.ml100k import Ratings

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamRankerConfig:
    """item_prior_weight, genre_prior_weight: number of ratings that a prior mean weighs."""

    item_prior_weight: float = 10.0
    genre_prior_weight: float = 5.0


class UpstreamRanker:
    """Means of the ratings before a timestamp, which only moves forward."""

    def __init__(
        self, ratings: Ratings, genres: FloatArray, user_count: int, config: UpstreamRankerConfig
    ) -> None:
        items, genre_count = genres.shape
        self._ratings, self._genres, self._config = ratings, genres, config
        self._seen = 0
        self.rating_counts = np.zeros(items)  # ratings of each item so far
        self._stars = np.zeros(items)
        self._liking = np.zeros((user_count, genre_count))  # sum of (stars - item mean) by genre
        self._by_genre = np.zeros((user_count, genre_count))

    def advance_to(self, timestamp_s: int) -> None:
        """Add every rating strictly before `timestamp_s` (Unix seconds).

        Raises:
            ValueError: `timestamp_s` is before that of an earlier call.
        """
        until = int(np.searchsorted(self._ratings.timestamp_s, timestamp_s, side="left"))
        if until < self._seen:
            raise ValueError("timestamp_s must not decrease")
        new = slice(self._seen, until)
        user, item, stars = (
            self._ratings.user[new],
            self._ratings.item[new],
            self._ratings.stars[new],
        )
        above = stars - self.item_mean(item)
        np.add.at(self._liking, user, self._genres[item] * above[:, None])
        np.add.at(self._by_genre, user, self._genres[item])
        np.add.at(self.rating_counts, item, 1.0)
        np.add.at(self._stars, item, stars)
        self._seen = until

    def item_mean(self, item: IntArray) -> FloatArray:
        """(n,) float64 mean stars of items, shrunk to the mean of all ratings."""
        total = self.rating_counts.sum()
        prior = self._stars.sum() / total if total else 3.5
        weight = self._config.item_prior_weight
        return np.asarray(
            (self._stars[item] + weight * prior) / (self.rating_counts[item] + weight)
        )

    def score_items(self, user: int, item: IntArray) -> FloatArray:
        """(n,) float64 scores: shrunk mean plus the mean taste of the user for the genres."""
        liking = self._liking[user] / (self._by_genre[user] + self._config.genre_prior_weight)
        item_genres = self._genres[item]
        return self.item_mean(item) + item_genres @ liking / np.maximum(
            item_genres.sum(axis=1), 1.0
        )
