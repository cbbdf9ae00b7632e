"""The upstream ranker of the movielens adapter: scores items from past ratings and nothing later.

A ranker of the kind that sits before us: the item's mean rating and the user's liking of its
genres, both shrunken towards what little evidence says.
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
    """item_weight, genre_prior_weight: ratings that the prior mean counts for."""

    item_prior_weight: float = 10.0
    genre_prior_weight: float = 5.0


class UpstreamRanker:
    """What the ratings up to a moment say; moves forward in time only."""

    def __init__(
        self, ratings: Ratings, genres: FloatArray, user_count: int, config: UpstreamRankerConfig
    ) -> None:
        items, kinds = genres.shape
        self._ratings, self._genres, self._config = ratings, genres, config
        self._seen = 0
        self.rating_counts = np.zeros(items)  # ratings of each item so far
        self._stars = np.zeros(items)
        self._liking = np.zeros((user_count, kinds))  # sum of (stars - item mean) by genre
        self._by_genre = np.zeros((user_count, kinds))

    def advance_to(self, timestamp_s: int) -> None:
        """Take in every rating strictly earlier than this second."""
        until = int(np.searchsorted(self._ratings.timestamp_s, timestamp_s, side="left"))
        if until < self._seen:
            raise ValueError("the past only grows")
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
        """(n,) mean stars of items, shrunken to the mean of all ratings."""
        total = self.rating_counts.sum()
        prior = self._stars.sum() / total if total else 3.5
        weight = self._config.item_prior_weight
        return np.asarray(
            (self._stars[item] + weight * prior) / (self.rating_counts[item] + weight)
        )

    def score_items(self, user: int, item: IntArray) -> FloatArray:
        """(n,) upstream scores: shrunken mean plus the user's mean liking of the item's genres."""
        liking = self._liking[user] / (self._by_genre[user] + self._config.genre_prior_weight)
        own = self._genres[item]
        return self.item_mean(item) + own @ liking / np.maximum(own.sum(axis=1), 1.0)
