"""Target request rate over the time of a run. Pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

ShapeKind = Literal["steady", "ramp", "spike", "soak"]
_STEPS = 2000  # step of the sum of expected arrivals, seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadShape:
    """Rate over time: requests per second of all processes together, times in seconds.

    Values of `kind`:
        "steady"  `rate` throughout
        "ramp"    linear from `ramp_from * rate` to `rate`
        "spike"   `rate`, and `spike_factor * rate` for `spike_s` in the middle
        "soak"    `rate`, oscillating by `soak_swing * rate` with period `soak_period_s`
    """

    kind: ShapeKind = "steady"
    rate: float = 100.0
    duration_s: float = 60.0
    ramp_from: float = 0.1
    spike_factor: float = 5.0
    spike_s: float = 10.0
    soak_swing: float = 0.3
    soak_period_s: float = 600.0

    def __post_init__(self) -> None:
        if self.kind not in _RATES:
            raise ValueError(f"no shape {self.kind!r}: there are {', '.join(_RATES)}")
        for name in ("rate", "duration_s", "spike_factor", "soak_period_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
        for name in ("ramp_from", "soak_swing"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share from 0 to 1, not {getattr(self, name)}")
        if self.kind == "spike" and not 0 < self.spike_s < self.duration_s:
            raise ValueError(f"a spike of {self.spike_s} s does not fit in {self.duration_s} s")

    def rate_at(self, t: float) -> float:
        """Requests per second at `t` seconds; 0 outside the run."""
        return _RATES[self.kind](self, t) if 0 <= t < self.duration_s else 0.0

    @property
    def peak_rate(self) -> float:
        """Upper bound of the rate during the run."""
        if self.kind == "spike":
            return self.rate * max(1.0, self.spike_factor)
        return self.rate * (1.0 + self.soak_swing if self.kind == "soak" else 1.0)

    def expected_arrivals(self, until_s: float | None = None) -> float:
        """Expected number of arrivals from the start until a time (default: the end)."""
        end = self.duration_s if until_s is None else min(until_s, self.duration_s)
        step = end / _STEPS
        return step * math.fsum(self.rate_at((i + 0.5) * step) for i in range(_STEPS))


def _ramp(shape: LoadShape, t: float) -> float:
    return shape.rate * (shape.ramp_from + (1.0 - shape.ramp_from) * t / shape.duration_s)


def _spike(shape: LoadShape, t: float) -> float:
    inside = abs(t - shape.duration_s / 2) <= shape.spike_s / 2
    return shape.rate * (shape.spike_factor if inside else 1.0)


def _soak(shape: LoadShape, t: float) -> float:
    return shape.rate * (1.0 + shape.soak_swing * math.sin(math.tau * t / shape.soak_period_s))


_RATES: Mapping[ShapeKind, Callable[[LoadShape, float], float]] = {
    "steady": lambda shape, t: shape.rate,
    "ramp": _ramp,
    "spike": _spike,
    "soak": _soak,
}
SHAPE_KINDS: tuple[ShapeKind, ...] = tuple(_RATES)
