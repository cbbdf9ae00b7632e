"""What K lists cost, so that a request never starts work that it cannot finish.

Milliseconds of generate + evaluate for N candidates and K lists: a + n N + k K + nk N K, fitted to
runs at warm-up; one factor, the pace, follows what runs take now. A step of refinement and the
judging of what is reached have lines of their own, of N alone. Time comes in as numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

_FOLLOW = 0.05  # share of the way that one observation moves the pace
_SLOWEST = 20.0
_SPREAD = 1.5  # a plan leaves room: runs differ, and a plan that fails costs what it was to give
_MORE = 0.65  # of a run alone for each further request (docs/experiments/dynamic-batching.md)
# Beyond these a shared run is slower than runs alone: what it works on leaves the caches
# (docs/experiments/profile-http-redis.md).
_MOST_CANDIDATES = 1000
_MOST_PLACES = 12_800  # candidates of all lists
# Share by which one refused step relaxes the pace: a try for nothing takes all the time there is.
_FORGET = 0.005


@dataclass(frozen=True, slots=True)
class Observation:
    """One measured run, and how many requests it answered."""

    candidates: int
    lists: int
    seconds: float
    requests: int = 1


@dataclass(slots=True)
class CostLine:
    """Predicts seconds of a run and follows how fast runs are now."""

    weights: tuple[float, float, float, float]
    pace: float = field(default=1.0)

    @classmethod
    def fit(cls, runs: Sequence[Observation]) -> CostLine:
        """Least squares with no negative slope; needs two values of N or K to see a slope."""
        terms = np.array([_terms(r.candidates, r.lists) for r in runs])
        seconds = np.array([r.seconds for r in runs])
        kept = np.ones(4, dtype=bool)
        while True:
            found = np.zeros(4)
            found[kept] = np.linalg.lstsq(terms[:, kept], seconds, rcond=None)[0]
            if (found >= 0).all():
                break
            kept &= found >= 0
        a, n, k, nk = (float(w) for w in found)
        return cls((a, n, k, nk))

    def seconds(self, candidates: int, lists: int) -> float:
        """What a run takes now, by the line and the pace."""
        a, n, k, nk = self.weights
        return (a + n * candidates + k * lists + nk * (candidates * lists)) * self.pace

    def affordable(self, *, candidates: int, wanted: int, left_s: float) -> int:
        """How many lists of `wanted` fit into `left_s` with room to spare; 0: not even one."""
        if self.seconds(candidates, wanted) * _SPREAD <= left_s:
            return wanted
        one = self.seconds(candidates, 1)
        step = self.seconds(candidates, 2) - one
        if one * _SPREAD > left_s:
            self.relax()
            return 0
        if step <= 0:
            return wanted
        return max(1, min(wanted, 1 + int((left_s / _SPREAD - one) / step)))

    def observe(self, run: Observation) -> None:
        """Let the pace follow what a run took."""
        self.pace += _FOLLOW * (self._pace_of(run) - self.pace)

    def observe_ended(self, run: Observation) -> None:
        """Let the pace follow what a run took until it was ended: it takes at least this long.

        One that was ended early, because its caller left, is no sign that runs are fast.
        """
        self.pace += _FOLLOW * max(self._pace_of(run) - self.pace, 0.0)

    def outlast(self, run: Observation) -> None:
        """The same, at once, as far as the room goes that the run was planned with.

        By small shares, every few runs another one would be begun in vain.
        """
        self.pace = max(self.pace, min(self._pace_of(run), self.pace * _SPREAD))

    def relax(self, share: float = _FOLLOW) -> None:
        """A refused run teaches nothing: drift until one is tried, or refuse for ever.

        Below the warm-up's pace too: a warm-up beside a busy neighbor measures too slow a line.
        """
        self.pace = max(self.pace * (1 - share), 1 / _SLOWEST)

    def _pace_of(self, run: Observation) -> float:
        line = self.seconds(run.candidates, run.lists) / self.pace
        alone = run.seconds / _shared(run.requests)
        return min(max(alone / line, 1 / _SLOWEST), _SLOWEST) if line > 0 else self.pace


@dataclass(slots=True)
class Cost:
    """Of one artifact's graphs, without or with rules: of K lists, and of refining the chosen one.

    step: of one step; None where the artifact has no refiner.
    judge: of judging the list that the steps reach.
    requests: with how many in a run what is observed was measured.
    """

    lists: CostLine
    step: CostLine | None = None
    judge: CostLine | None = None
    requests: int = 1

    def together(self, *, candidates: int, lists: int, requests: int) -> float:
        """Seconds, with room to spare, that all lists take in a run with other requests."""
        return self.lists.seconds(candidates, lists) * _shared(requests) * _SPREAD

    def holds_a_step(self, *, candidates: int, left_s: float) -> bool:
        """Whether a step, and the judging of what it reaches, fit with room to spare."""
        needed_s = 0.0 if self.step is None else self.step.seconds(candidates, 1)
        if self.judge is not None:
            needed_s += self.judge.seconds(candidates, 1)
        return needed_s * _SPREAD <= left_s

    def refuse_steps(self) -> None:
        """A request had no time for any step; one that had some has told what they take."""
        for line in (self.step, self.judge):
            if line is not None:
                line.relax(_FORGET)

    def observe_lists(
        self, candidates: int, lists: int, seconds: float, *, ended: bool = False
    ) -> None:
        """Let the pace of lists follow what these took, or took until they were ended."""
        run = Observation(candidates, lists, seconds, self.requests)
        if ended:
            self.lists.observe_ended(run)
        else:
            self.lists.observe(run)

    def observe_step(self, candidates: int, seconds: float, *, ended: bool = False) -> None:
        """Let the pace of steps follow what one took, or took until it was ended."""
        _observe(self.step, Observation(candidates, 1, seconds, self.requests), ended)

    def observe_judging(self, candidates: int, seconds: float, *, ended: bool = False) -> None:
        """The same for the judging of what steps reached."""
        _observe(self.judge, Observation(candidates, 1, seconds, self.requests), ended)


def _observe(line: CostLine | None, run: Observation, ended: bool) -> None:
    if line is None:
        return
    if ended:
        line.outlast(run)
    else:
        line.observe(run)


def most_together(candidates: int, lists: int) -> int:
    """How many requests of N candidates and K lists a run may be of."""
    return max(1, min(_MOST_CANDIDATES // candidates, _MOST_PLACES // (candidates * lists)))


def _shared(requests: int) -> float:
    """How many times as long as alone a run of so many requests takes."""
    return 1.0 + _MORE * (requests - 1)


def _terms(candidates: int, lists: int) -> tuple[float, float, float, float]:
    return 1.0, float(candidates), float(lists), float(candidates * lists)
