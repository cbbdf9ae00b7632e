"""State of one rerank request that stages add to: stage times, spans and degradations."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from service.rerank.deadline import Deadline
from service.rerank.search_request import SearchResult
from service.telemetry import service_metrics
from service.telemetry.tracing import StageSpan


@dataclass(slots=True)
class RequestContext:
    """Collects what one request reports besides its list.

    seconds: time of each stage.
    degraded: reasons of a degraded response.
    spans: the stages with start and end; None when the request is not traced.
    artifact: role of the model that serves the request.
    stage_started: start of the present stage, on the deadline's clock.
    """

    request_id: str
    deadline: Deadline
    seconds: dict[str, float] = field(default_factory=dict)
    degraded: set[str] = field(default_factory=set)
    spans: list[StageSpan] | None = None
    artifact: service_metrics.ArtifactLabel = "none"
    stage_started: float = field(default_factory=time.monotonic)

    def record_stage(self, stage: str) -> None:
        """Add the time since the last stage ended to `stage`, and start the next stage."""
        started, now = self.stage_started, self.deadline.clock()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - started
        if self.spans is not None:
            self.spans.append(StageSpan(stage, started, now))
        self.stage_started = now

    def record_search(self, result: SearchResult) -> None:
        """Set the stages that the executor's thread timed."""
        generated_at = result.started_at + result.generate_s
        self.record_timed_stage("generate", result.started_at, generated_at)
        evaluated_at = generated_at + result.evaluate_s + result.refine_s
        self.record_timed_stage("evaluate", generated_at, evaluated_at)

    def record_timed_stage(self, stage: str, started: float, ended: float) -> None:
        """Set the time of a stage whose start and end are known."""
        self.seconds[stage] = ended - started
        if self.spans is not None:
            self.spans.append(StageSpan(stage, started, ended))
