"""The small addresses: health, info, metrics. Nothing here is on the way of a rerank request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from model.contract.artifact.manifest import Manifest
from model.contract.schema.declared import FieldKind
from service.api.errors import render
from service.api.openapi import error_response
from service.api.readiness import Readiness
from service.errors import NotReady, ShuttingDown
from service.rerank.limits import Limits
from service.rerank.model import ModelHolder


@dataclass(frozen=True, slots=True)
class Facts:
    """What /info reports beside the artifact."""

    limits: Limits
    max_body_bytes: int
    max_inflight: int
    max_waiting: int


def health_routes(readiness: Readiness) -> APIRouter:
    """Liveness: the loop turns. Readiness: an artifact serves and the process is to stay."""
    router = APIRouter(tags=["health"])

    @router.get("/health/live")
    async def live() -> dict[str, str]:
        """200 while the event loop answers."""
        return {"status": "live"}

    @router.get("/health/ready", responses={503: error_response([NotReady, ShuttingDown])})
    async def ready() -> Response:
        """200 once a verified artifact is warmed up, whatever the store does."""
        error = readiness.fault()
        if error is None:
            return Response(b'{"status":"ready"}', media_type="application/json")
        status, _, body = render(error)
        return Response(body, status_code=status, media_type="application/json")

    return router


def info_routes(models: ModelHolder, facts: Facts) -> APIRouter:
    """What is served, by which artifact, within which limits."""
    router = APIRouter(tags=["info"])

    @router.get("/info", responses={503: error_response([NotReady])})
    async def info() -> dict[str, Any]:
        """The artifact, its schema and the limits of this process."""
        model = models.current
        if model is None:
            raise NotReady
        previous = models.previous
        return {
            "artifact": model.manifest.artifact,
            "previous": None if previous is None else previous.manifest.artifact,
            "items": len(model.items.table.ids),
            **_described(model.manifest),
            "limits": _limits(facts, model.manifest),
        }

    return router


def metrics_routes() -> APIRouter:
    """Prometheus' text format."""
    router = APIRouter(tags=["metrics"])

    @router.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """All series of this process."""
        return Response(generate_latest(), headers={"content-type": CONTENT_TYPE_LATEST})

    return router


def _described(manifest: Manifest) -> dict[str, Any]:
    return {
        "created_at": manifest.created_at,
        "schema_hash": manifest.schema_hash,
        "fields": [
            {"name": f.name, "scope": f.scope.value, "kind": f.kind.value, "values": f.size}
            for f in manifest.features.fields
            if f.kind is not FieldKind.ID
        ],
        "objective": manifest.objective.model_dump(),
        "members": manifest.members,
        "risk_aversion": manifest.risk_aversion,
        "converts": manifest.converts,
        "lengths": manifest.lengths.model_dump(),
        "metrics": manifest.metrics,
    }


def _limits(facts: Facts, manifest: Manifest) -> dict[str, Any]:
    limits = facts.limits
    return {
        "max_candidates": min(limits.max_candidates, manifest.lengths.max_candidates),
        "max_list_size": manifest.lengths.slots,
        "max_num_lists": limits.max_num_lists,
        "max_body_bytes": facts.max_body_bytes,
        "request_budget_ms": limits.request_budget_ms,
        "max_budget_ms": limits.max_budget_ms,
        "feature_budget_ms": limits.feature_budget_ms,
        "max_inflight": facts.max_inflight,
        "max_waiting": facts.max_waiting,
    }
