"""Latency predictions, so that a request starts no work that cannot end before its deadline.

The seconds of generate + evaluate for N candidates and K lists are a + n N + k K + nk N K, fitted
to runs at warm-up and scaled by one slowdown factor that follows recent runs. A refinement step and
the scoring of the refined list have models of their own, of N alone. All times are arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

_SMOOTHING = 0.05  # weight of one observation in the slowdown factor
_MAX_SLOWDOWN = 20.0
# A plan reserves this much: latency varies, and a run that misses its deadline gives no result.
_HEADROOM = 1.5
_BATCH_COST = 0.65  # latency of each further request in a batch, over one alone
# Larger batches are slower than separate runs, because their arrays leave the CPU caches
# (docs/experiments/profile-http-redis.md).
_MAX_BATCH_CANDIDATES = 1000
_MAX_BATCH_SCORES = 12_800  # candidates times lists, over all requests
# Decay of the slowdown factor for a refused step. Small: a step that then overruns costs the
# request all of its remaining time.
_STEP_DECAY = 0.005


@dataclass(frozen=True, slots=True)
class LatencySample:
    """One measured run; `batch_size` is the number of requests in it."""

    candidates: int
    lists: int
    seconds: float
    batch_size: int = 1


@dataclass(slots=True)
class LatencyModel:
    """Predicts the seconds of a run and follows how long runs take now.

    weights: (a, n, k, nk), see the module.
    slowdown_factor: present latency over the fitted latency; above 1 runs are slower.
    """

    weights: tuple[float, float, float, float]
    slowdown_factor: float = field(default=1.0)

    @classmethod
    def fit(cls, samples: Sequence[LatencySample]) -> LatencyModel:
        """Fit by least squares without negative weights.

        A slope in N or K needs samples with at least two values of it.
        """
        terms = np.array([_terms(s.candidates, s.lists) for s in samples])
        seconds = np.array([s.seconds for s in samples])
        kept = np.ones(4, dtype=bool)
        while True:
            fitted = np.zeros(4)
            fitted[kept] = np.linalg.lstsq(terms[:, kept], seconds, rcond=None)[0]
            if (fitted >= 0).all():
                break
            kept &= fitted >= 0
        a, n, k, nk = (float(w) for w in fitted)
        return cls((a, n, k, nk))

    def predict(self, candidates: int, lists: int) -> float:
        """Expected seconds of a run now."""
        a, n, k, nk = self.weights
        return (a + n * candidates + k * lists + nk * (candidates * lists)) * self.slowdown_factor

    def max_lists(self, *, candidates: int, requested: int, left_s: float) -> int:
        """Largest number of lists, at most `requested`, that fits into `left_s` with headroom.

        Returns 0 when not even one list fits.
        """
        if self.predict(candidates, requested) * _HEADROOM <= left_s:
            return requested
        one = self.predict(candidates, 1)
        step = self.predict(candidates, 2) - one
        if one * _HEADROOM > left_s:
            self.decay_slowdown_factor()
            return 0
        if step <= 0:
            return requested
        return max(1, min(requested, 1 + int((left_s / _HEADROOM - one) / step)))

    def observe(self, sample: LatencySample) -> None:
        """Move the slowdown factor toward a completed run."""
        self.slowdown_factor += _SMOOTHING * (self._slowdown_of(sample) - self.slowdown_factor)

    def observe_terminated(self, sample: LatencySample) -> None:
        """Move the slowdown factor up toward a terminated run, which gives a lower bound.

        A run terminated early because its client disconnected does not lower the factor.
        """
        excess = self._slowdown_of(sample) - self.slowdown_factor
        self.slowdown_factor += _SMOOTHING * max(excess, 0.0)

    def observe_overrun(self, sample: LatencySample) -> None:
        """Raise the slowdown factor at once after an overrun, by at most the plan's headroom.

        With smoothing alone, every few requests would start another step that cannot end in time.
        """
        slowdown = min(self._slowdown_of(sample), self.slowdown_factor * _HEADROOM)
        self.slowdown_factor = max(self.slowdown_factor, slowdown)

    def decay_slowdown_factor(self, share: float = _SMOOTHING) -> None:
        """Lower the slowdown factor after a refused run, until a run is tried again.

        It may fall below 1, because a warm-up on a busy machine fits latencies that are too high.
        """
        self.slowdown_factor = max(self.slowdown_factor * (1 - share), 1 / _MAX_SLOWDOWN)

    def _slowdown_of(self, sample: LatencySample) -> float:
        fitted = self.predict(sample.candidates, sample.lists) / self.slowdown_factor
        alone = sample.seconds / _batch_factor(sample.batch_size)
        if fitted <= 0:
            return self.slowdown_factor
        return min(max(alone / fitted, 1 / _MAX_SLOWDOWN), _MAX_SLOWDOWN)


@dataclass(slots=True)
class SearchLatency:
    """Latency of one artifact's searches, either without or with rules.

    lists: generating and evaluating K lists.
    refine_step: one refinement step; None for an artifact without a refiner.
    refined_scoring: scoring the refined list; None for an artifact without a refiner.
    batch_size: number of requests in the runs that are observed.
    """

    lists: LatencyModel
    refine_step: LatencyModel | None = None
    refined_scoring: LatencyModel | None = None
    batch_size: int = 1

    def batched_latency(self, *, candidates: int, lists: int, batch_size: int) -> float:
        """Seconds of generate and evaluate in a batch, with headroom."""
        return self.lists.predict(candidates, lists) * _batch_factor(batch_size) * _HEADROOM

    def fits_refine_step(self, *, candidates: int, left_s: float) -> bool:
        """Whether a refinement step and the scoring of its list fit with headroom."""
        needed_s = 0.0 if self.refine_step is None else self.refine_step.predict(candidates, 1)
        if self.refined_scoring is not None:
            needed_s += self.refined_scoring.predict(candidates, 1)
        return needed_s * _HEADROOM <= left_s

    def decay_refused_step(self) -> None:
        """Lower the slowdown factors after a request without time for its first step.

        A request that ran any step is an observation instead.
        """
        for latency in (self.refine_step, self.refined_scoring):
            if latency is not None:
                latency.decay_slowdown_factor(_STEP_DECAY)

    def observe_lists(
        self, candidates: int, lists: int, seconds: float, *, terminated: bool = False
    ) -> None:
        """Record how long generate and evaluate took, or ran until they were terminated."""
        sample = LatencySample(candidates, lists, seconds, self.batch_size)
        if terminated:
            self.lists.observe_terminated(sample)
        else:
            self.lists.observe(sample)

    def observe_refine_step(
        self, candidates: int, seconds: float, *, terminated: bool = False
    ) -> None:
        """Record how long a refinement step took, or ran until it was terminated."""
        sample = LatencySample(candidates, 1, seconds, self.batch_size)
        _observe_or_overrun(self.refine_step, sample, terminated)

    def observe_refined_scoring(
        self, candidates: int, seconds: float, *, terminated: bool = False
    ) -> None:
        """Record how long scoring the refined list took, or ran until it was terminated."""
        sample = LatencySample(candidates, 1, seconds, self.batch_size)
        _observe_or_overrun(self.refined_scoring, sample, terminated)


def _observe_or_overrun(
    latency: LatencyModel | None, sample: LatencySample, terminated: bool
) -> None:
    if latency is None:
        return
    if terminated:
        latency.observe_overrun(sample)
    else:
        latency.observe(sample)


def max_batch_size(candidates: int, lists: int) -> int:
    """Most requests of N candidates and K lists in one batch."""
    most = min(_MAX_BATCH_CANDIDATES // candidates, _MAX_BATCH_SCORES // (candidates * lists))
    return max(1, most)


def _batch_factor(batch_size: int) -> float:
    """Latency of a batch over the latency of one request alone."""
    return 1.0 + _BATCH_COST * (batch_size - 1)


def _terms(candidates: int, lists: int) -> tuple[float, float, float, float]:
    return 1.0, float(candidates), float(lists), float(candidates * lists)
