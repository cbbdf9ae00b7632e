"""A counter without labels that one thread counts: the library's takes a lock and five calls."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry


class UnlockedCounter(Collector):
    """One metric; what the library's counter of this name shows, without the time it was made."""

    def __init__(
        self, name: str, documentation: str, registry: CollectorRegistry = REGISTRY
    ) -> None:
        self._name, self._documentation = name, documentation
        self.total = 0.0
        registry.register(self)

    def inc(self, amount: float) -> None:
        """Count some more."""
        self.total += amount

    def describe(self) -> Iterable[CounterMetricFamily]:
        """Name and meaning alone."""
        return [CounterMetricFamily(self._name, self._documentation)]

    def collect(self) -> Iterable[CounterMetricFamily]:
        """In the library's form."""
        return [CounterMetricFamily(self._name, self._documentation, value=self.total)]
