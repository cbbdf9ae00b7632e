"""Readiness of this process for traffic."""

from __future__ import annotations

from service.errors import NotReady, RequestError, ShuttingDown
from service.rerank.artifact_slot import ArtifactSlot
from service.telemetry import service_metrics


class Readiness:
    """Ready from the first verified artifact until shutdown begins."""

    def __init__(self, models: ArtifactSlot) -> None:
        self._models = models
        self._draining = False

    def start_draining(self) -> None:
        """Report not ready from now on, so that load balancers send no more requests."""
        self._draining = True
        service_metrics.PROCESS_READY.set(0)

    def is_draining(self) -> bool:
        """Whether shutdown has begun."""
        return self._draining

    def not_ready_reason(self) -> RequestError | None:
        """Why the process is not ready; None when it is."""
        if self._draining:
            return ShuttingDown()
        return NotReady() if self._models.current is None else None
