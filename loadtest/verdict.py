"""Assesses a run against an objective; prints it as a table and as JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from loadtest.load_shapes import LoadShape
from loadtest.run_counts import NOT_SENT, RunCounts

REPORTED_PERCENTILES = (50, 90, 99, 99.9)
_SIGMAS = 5.0  # a larger deficit of arrivals is not random


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadObjective:
    """Limits that a run must meet.

    achieved_share: answers within the run, as a share of the arrivals.
    send_lag_ms: p99 of the generator's own delay; above it the run says little about the server.
    """

    p99_ms: float = 50.0
    error_ratio: float = 0.001
    degraded_share: float = 0.01
    achieved_share: float = 0.95
    send_lag_ms: float = 10.0


@dataclass(frozen=True, slots=True)
class ObjectiveCheck:
    """One requirement: measured value and limit, as texts of the table."""

    name: str
    measured: str
    limit: str
    met: bool


@dataclass(frozen=True, slots=True)
class LoadVerdict:
    """All requirements of one run."""

    checks: Sequence[ObjectiveCheck]
    counts: RunCounts
    duration_s: float

    @property
    def met(self) -> bool:
        """Whether every requirement is met."""
        return all(row.met for row in self.checks)

    def to_json(self) -> dict[str, Any]:
        """The numbers of the table as plain values."""
        tally = self.counts
        return {
            "met": self.met,
            "seconds": round(self.duration_s, 3),
            "arrivals": tally.arrivals,
            "answers": tally.answers,
            "failures": dict(tally.failures),
            "degraded_answers": tally.degraded_answers,
            "degraded": dict(tally.degraded_reasons),
            "latency_ms": {
                f"p{p:g}": _ms(tally.latency.percentile(p)) for p in REPORTED_PERCENTILES
            },
            "send_lag_ms": {
                f"p{p:g}": _ms(tally.send_lag.percentile(p)) for p in REPORTED_PERCENTILES
            },
            "checks": [
                {"name": r.name, "found": r.measured, "limit": r.limit, "met": r.met}
                for r in self.checks
            ],
        }


def assess_load_run(
    counts: RunCounts, shape: LoadShape, objective: LoadObjective, duration_s: float
) -> LoadVerdict:
    """Compare the counts of a whole run with the objective."""
    seconds = min(duration_s, shape.duration_s)
    expected = shape.expected_arrivals(seconds)
    offered = counts.arrivals / seconds if seconds else 0.0
    p99 = counts.latency.percentile(99)
    lag = counts.send_lag.percentile(99)
    errors = _share(counts.failed, counts.arrivals)
    degraded = _share(counts.degraded_answers, counts.answers)
    achieved = _share(counts.answered_in_run, counts.arrivals)
    rows = (
        ObjectiveCheck(
            "arrivals",
            f"{counts.arrivals:,}",
            f"about {expected:,.0f}",
            counts.arrivals > 0 and counts.arrivals >= expected - _SIGMAS * math.sqrt(expected),
        ),
        _row("p99 of answers", p99 and p99 * 1e3, objective.p99_ms, "{:.1f} ms".format),
        _row("errors", errors, objective.error_ratio, _percent),
        _row("degraded answers", degraded, objective.degraded_share, _percent),
        ObjectiveCheck(
            "answers per second",
            f"{counts.answered_in_run / seconds if seconds else 0:,.1f}",
            f"at least {offered * objective.achieved_share:,.1f}",
            achieved is not None and achieved >= objective.achieved_share,
        ),
        _row("send lag, p99", lag and lag * 1e3, objective.send_lag_ms, "{:.1f} ms".format),
    )
    return LoadVerdict(rows, counts, duration_s)


def verdict_table(verdict: LoadVerdict) -> list[str]:
    """The verdict as lines for a terminal."""
    tally = verdict.counts
    lines = ["", f"{'':<22} {'measured':>12}   {'objective':<20}"]
    for row in verdict.checks:
        lines.append(
            f"{row.name:<22} {row.measured:>12}   {row.limit:<20} {'ok' if row.met else 'MISSED'}"
        )
    percentiles = [(f"p{p:g}", tally.latency.percentile(p)) for p in REPORTED_PERCENTILES]
    found = ", ".join(f"{name} {s * 1e3:.1f} ms" for name, s in percentiles if s is not None)
    lines += ["", f"latency from the moment a request was due: {found or 'no answers'}"]
    lines += [f"degraded by {reason}: {n:,}" for reason, n in tally.degraded_reasons.most_common()]
    lines += [
        f"failed, {_failure_text(reason)}: {n:,}" for reason, n in tally.failures.most_common()
    ]
    lines += ["", "objective met" if verdict.met else "OBJECTIVE MISSED"]
    return lines


def _row(
    name: str, found: float | None, limit: float, show: Callable[[float], str]
) -> ObjectiveCheck:
    """A check of an upper limit; a missing measurement fails it."""
    met = found is not None and found <= limit
    return ObjectiveCheck(
        name, "-" if found is None else show(found), f"at most {show(limit)}", met
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _percent(share: float) -> str:
    return f"{share:.3%}"


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e3, 3)


def _failure_text(reason: str) -> str:
    return "not sent: too many requests in flight" if reason == NOT_SENT else reason
