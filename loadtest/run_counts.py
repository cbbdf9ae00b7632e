"""Counts of a run, merged over processes: arrivals, answers, failures, latencies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from loadtest.latency_histogram import LatencyHistogram

NOT_SENT = "not_sent"  # all connections were in use when the request was due


@dataclass(slots=True)
class RunCounts:
    """Counts of a part of a run.

    arrivals: requests that were due.
    in_time: answers before the run's end.
    failures: by reason; an arrival that could not be sent is one of them.
    degraded: answers by degradation; an answer may count under several.
    degraded_answers: answers with at least one degradation.
    latency: from due to answered, of answers only.
    lag: from due to sent: the delay of this load generator.
    """

    arrivals: int = 0
    answered_in_run: int = 0
    degraded_answers: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    degraded_reasons: Counter[str] = field(default_factory=Counter)
    latency: LatencyHistogram = field(default_factory=LatencyHistogram)
    send_lag: LatencyHistogram = field(default_factory=LatencyHistogram)

    @property
    def answers(self) -> int:
        """Number of requests answered with a list."""
        return len(self.latency)

    @property
    def failed(self) -> int:
        """Number of arrivals without a list, including those without any response."""
        return self.arrivals - self.answers

    def merge(self, other: RunCounts) -> None:
        """Add the counts of another part of the same run."""
        self.arrivals += other.arrivals
        self.answered_in_run += other.answered_in_run
        self.degraded_answers += other.degraded_answers
        self.failures.update(other.failures)
        self.degraded_reasons.update(other.degraded_reasons)
        self.latency.merge(other.latency)
        self.send_lag.merge(other.send_lag)

    def to_message(self) -> dict[str, Any]:
        """Plain values for a message between processes."""
        return {
            "arrivals": self.arrivals,
            "in_time": self.answered_in_run,
            "degraded_answers": self.degraded_answers,
            "failures": dict(self.failures),
            "degraded": dict(self.degraded_reasons),
            "latency": self.latency.bucket_counts(),
            "lag": self.send_lag.bucket_counts(),
        }

    @classmethod
    def from_message(cls, data: Mapping[str, Any]) -> Self:
        """Counts from the values that `to_message` returned."""
        return cls(
            arrivals=data["arrivals"],
            answered_in_run=data["in_time"],
            degraded_answers=data["degraded_answers"],
            failures=Counter(data["failures"]),
            degraded_reasons=Counter(data["degraded"]),
            latency=LatencyHistogram(data["latency"]),
            send_lag=LatencyHistogram(data["lag"]),
        )
