"""What K lists cost, so that a request never starts work that it cannot finish.

Milliseconds of generate + evaluate for N candidates and K lists: a + n N + k K + nk N K, fitted to
runs at warm-up; one factor, the pace, follows what runs take now. A step of refinement has a line
of its own, of N alone. Time comes in as numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

_FOLLOW = 0.05  # share of the way that one observation moves the pace
_SLOWEST = 20.0
_SPREAD = 1.5  # a plan leaves room: runs differ, and a plan that fails costs the whole answer


@dataclass(frozen=True, slots=True)
class Observation:
    """One measured run."""

    candidates: int
    lists: int
    seconds: float


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
            self._relax()
            return 0
        if step <= 0:
            return wanted
        return max(1, min(wanted, 1 + int((left_s / _SPREAD - one) / step)))

    def observe(self, run: Observation) -> None:
        """Let the pace follow what a run took."""
        line = self.seconds(run.candidates, run.lists) / self.pace
        if line > 0:
            now = min(max(run.seconds / line, 1 / _SLOWEST), _SLOWEST)
            self.pace += _FOLLOW * (now - self.pace)

    def _relax(self) -> None:
        """A refused run teaches nothing: drift until one is tried, or refuse for ever.

        Below the warm-up's pace too: a warm-up beside a busy neighbor measures too slow a line.
        """
        self.pace = max(self.pace * (1 - _FOLLOW), 1 / _SLOWEST)


@dataclass(slots=True)
class Cost:
    """Of one artifact's graphs, without or with rules: of K lists, and of one step of refinement.

    step: None where the artifact has no refiner.
    """

    lists: CostLine
    step: CostLine | None = None

    def holds_a_step(self, *, candidates: int, left_s: float) -> bool:
        """Whether a step fits into `left_s` with room to spare."""
        step = self.step
        return step is None or bool(step.affordable(candidates=candidates, wanted=1, left_s=left_s))

    def observe_step(self, candidates: int, seconds: float) -> None:
        """Let the pace of steps follow what one took."""
        if self.step is not None:
            self.step.observe(Observation(candidates, 1, seconds))


def _terms(candidates: int, lists: int) -> tuple[float, float, float, float]:
    return 1.0, float(candidates), float(lists), float(candidates * lists)
