"""GET /info: artifact, schema and limits of this process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from fastapi import APIRouter

from model.contract.artifact.manifest import Manifest
from model.contract.kernels.compilation import KernelImplementation
from model.contract.schema.declared import FieldKind
from service.api.openapi import error_response
from service.errors import NotReady
from service.rerank.artifact_slot import ArtifactSlot
from service.rerank.request_limits import RequestLimits


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Facts that GET /info reports beside the artifact."""

    limits: RequestLimits
    max_body_bytes: int
    max_inflight: int
    max_waiting: int
    kernels: KernelImplementation


class CanaryStatus(Protocol):
    """Facts that GET /info reports about the canary."""

    rejection: str | None

    def names(self) -> tuple[str, str | None]:
        """The current and the previous artifact; an empty text for none."""
        ...


def info_routes(
    models: ArtifactSlot, server: ServerInfo, canary: CanaryStatus | None = None
) -> APIRouter:
    """GET /info; `canary` is None where no canary is set."""
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
            **_manifest_facts(model.manifest),
            "limits": _limits(server, model.manifest),
            "kernels": server.kernels,
            "canary": None if canary is None else _canary_facts(canary),
        }

    return router


def _manifest_facts(manifest: Manifest) -> dict[str, Any]:
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
        "min_relative_gain": manifest.min_relative_gain,
        "converts": manifest.converts,
        "lengths": manifest.lengths.model_dump(),
        "metrics": manifest.metrics,
    }


def _canary_facts(canary: CanaryStatus) -> dict[str, Any]:
    """The canary that serves, and why the last loaded one does not."""
    return {"artifact": canary.names()[0] or None, "rejection": canary.rejection}


def _limits(server: ServerInfo, manifest: Manifest) -> dict[str, Any]:
    limits = server.limits
    return {
        "max_candidates": min(limits.max_candidates, manifest.lengths.max_candidates),
        "max_list_size": manifest.lengths.slots,
        "max_num_lists": limits.max_num_lists,
        "max_body_bytes": server.max_body_bytes,
        "request_budget_ms": limits.request_budget_ms,
        "max_budget_ms": limits.max_budget_ms,
        "feature_budget_ms": limits.feature_budget_ms,
        "max_inflight": server.max_inflight,
        "max_waiting": server.max_waiting,
    }
