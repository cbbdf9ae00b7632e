"""Whether this process wants traffic."""

from __future__ import annotations

from service.errors import NotReady, RequestError, ShuttingDown
from service.rerank.model import ModelHolder
from service.telemetry import service_metrics


class Readiness:
    """Ready from the first verified artifact until it is told to stop."""

    def __init__(self, models: ModelHolder) -> None:
        self._models = models
        self._stopping = False

    def stop(self) -> None:
        """Ask load balancers to send nothing more."""
        self._stopping = True
        service_metrics.PROCESS_READY.set(0)

    def fault(self) -> RequestError | None:
        """Why it is not ready; None when it is."""
        if self._stopping:
            return ShuttingDown()
        return NotReady() if self._models.current is None else None
