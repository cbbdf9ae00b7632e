"""Whether a run met the objective: one row a demand, as a table for people and as JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from loadtest.shapes import Shape
from loadtest.tally import NOT_SENT, Tally

PERCENTS = (50, 90, 99, 99.9)
_SIGMAS = 5.0  # fewer arrivals than this below what is expected are no accident


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What a run must reach.

    achieved: answers within the run, as a share of the arrivals.
    lag_ms: p99 of the generator's own lateness; above it the run says little about the server.
    """

    p99_ms: float = 50.0
    error_ratio: float = 0.001
    degraded_share: float = 0.01
    achieved: float = 0.95
    lag_ms: float = 10.0


@dataclass(frozen=True, slots=True)
class Row:
    """One demand: what was found, what is allowed, in the words of the table."""

    name: str
    found: str
    limit: str
    met: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """All demands on one run."""

    rows: Sequence[Row]
    tally: Tally
    ran_s: float

    @property
    def met(self) -> bool:
        """Every demand is met."""
        return all(row.met for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """The numbers behind the table."""
        tally = self.tally
        return {
            "met": self.met,
            "seconds": round(self.ran_s, 3),
            "arrivals": tally.arrivals,
            "answers": tally.answers,
            "failures": dict(tally.failures),
            "degraded_answers": tally.degraded_answers,
            "degraded": dict(tally.degraded),
            "latency_ms": {f"p{p:g}": _ms(tally.latency.percentile(p)) for p in PERCENTS},
            "generator_lag_ms": {f"p{p:g}": _ms(tally.lag.percentile(p)) for p in PERCENTS},
            "demands": [
                {"name": r.name, "found": r.found, "limit": r.limit, "met": r.met}
                for r in self.rows
            ],
        }


def judge(tally: Tally, shape: Shape, objective: Objective, ran_s: float) -> Verdict:
    """Hold the counts of a whole run against the objective."""
    seconds = min(ran_s, shape.duration_s)
    expected = shape.expected(seconds)
    offered = tally.arrivals / seconds if seconds else 0.0
    p99 = tally.latency.percentile(99)
    lag = tally.lag.percentile(99)
    errors = _share(tally.failed, tally.arrivals)
    degraded = _share(tally.degraded_answers, tally.answers)
    achieved = _share(tally.in_time, tally.arrivals)
    rows = (
        Row(
            "arrivals",
            f"{tally.arrivals:,}",
            f"about {expected:,.0f}",
            tally.arrivals > 0 and tally.arrivals >= expected - _SIGMAS * math.sqrt(expected),
        ),
        _row("p99 of answers", p99 and p99 * 1e3, objective.p99_ms, "{:.1f} ms".format),
        _row("errors", errors, objective.error_ratio, _percent),
        _row("degraded answers", degraded, objective.degraded_share, _percent),
        Row(
            "answers a second",
            f"{tally.in_time / seconds if seconds else 0:,.1f}",
            f"at least {offered * objective.achieved:,.1f}",
            achieved is not None and achieved >= objective.achieved,
        ),
        _row("generator's lag, p99", lag and lag * 1e3, objective.lag_ms, "{:.1f} ms".format),
    )
    return Verdict(rows, tally, ran_s)


def table(verdict: Verdict) -> list[str]:
    """The verdict as lines for a terminal."""
    tally = verdict.tally
    lines = ["", f"{'':<22} {'found':>12}   {'objective':<20}"]
    for row in verdict.rows:
        lines.append(
            f"{row.name:<22} {row.found:>12}   {row.limit:<20} {'ok' if row.met else 'MISSED'}"
        )
    percentiles = [(f"p{p:g}", tally.latency.percentile(p)) for p in PERCENTS]
    found = ", ".join(f"{name} {s * 1e3:.1f} ms" for name, s in percentiles if s is not None)
    lines += ["", f"latency from the moment a request was due: {found or 'no answers'}"]
    lines += [f"degraded by {reason}: {n:,}" for reason, n in tally.degraded.most_common()]
    lines += [f"failed, {_told(reason)}: {n:,}" for reason, n in tally.failures.most_common()]
    lines += ["", "objective met" if verdict.met else "OBJECTIVE MISSED"]
    return lines


def _row(name: str, found: float | None, limit: float, show: Callable[[float], str]) -> Row:
    """A demand that something is at most a limit; nothing measured is not met."""
    met = found is not None and found <= limit
    return Row(name, "-" if found is None else show(found), f"at most {show(limit)}", met)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _percent(share: float) -> str:
    return f"{share:.3%}"


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e3, 3)


def _told(reason: str) -> str:
    return "not sent because every place was taken" if reason == NOT_SENT else reason
