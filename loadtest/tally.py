"""What is counted in every process and added up in one: arrivals, answers, failures, latencies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from loadtest.histogram import Histogram

NOT_SENT = "not_sent"  # every place was taken when the request was due


@dataclass(slots=True)
class Tally:
    """Counts of a part of a run.

    arrivals: requests that were due.
    in_time: answers that came before the run's end.
    failures: by reason; an arrival that could not even be sent is one of them.
    degraded: answers by what they went without; an answer may stand under several reasons.
    degraded_answers: answers that went without something.
    latency: from due to answered, of answers only.
    lag: from due to sent: how late this load generator was itself.
    """

    arrivals: int = 0
    in_time: int = 0
    degraded_answers: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    degraded: Counter[str] = field(default_factory=Counter)
    latency: Histogram = field(default_factory=Histogram)
    lag: Histogram = field(default_factory=Histogram)

    @property
    def answers(self) -> int:
        """Requests that got a list."""
        return len(self.latency)

    @property
    def failed(self) -> int:
        """Arrivals that did not, those included of which nothing was ever heard."""
        return self.arrivals - self.answers

    def merge(self, other: Tally) -> None:
        """Add another part of the same run."""
        self.arrivals += other.arrivals
        self.in_time += other.in_time
        self.degraded_answers += other.degraded_answers
        self.failures.update(other.failures)
        self.degraded.update(other.degraded)
        self.latency.merge(other.latency)
        self.lag.merge(other.lag)

    def to_wire(self) -> dict[str, Any]:
        """Plain values for a message between processes."""
        return {
            "arrivals": self.arrivals,
            "in_time": self.in_time,
            "degraded_answers": self.degraded_answers,
            "failures": dict(self.failures),
            "degraded": dict(self.degraded),
            "latency": self.latency.pairs(),
            "lag": self.lag.pairs(),
        }

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> Self:
        """What `to_wire` wrote."""
        return cls(
            arrivals=data["arrivals"],
            in_time=data["in_time"],
            degraded_answers=data["degraded_answers"],
            failures=Counter(data["failures"]),
            degraded=Counter(data["degraded"]),
            latency=Histogram(data["latency"]),
            lag=Histogram(data["lag"]),
        )
