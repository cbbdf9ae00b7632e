"""Builds every object of a process from the settings; the one place where adapters are chosen."""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI
from starlette.types import ASGIApp

from service.api.admin import admin_routes
from service.api.admission import Admission
from service.api.app import build_app
from service.api.errors import codes
from service.api.front import Front
from service.api.pages import Facts, health_routes, info_routes, metrics_routes
from service.api.playground.routes import playground_routes
from service.api.readiness import Readiness
from service.api.rerank import Door, RerankEndpoint
from service.api.tokens import Tokens
from service.inference.loop_worker import LoopWorker
from service.inference.worker import ThreadWorker
from service.main.cores import open_worker
from service.main.offered import Offered
from service.main.rollout import ArtifactRollout, Sources
from service.main.stores import open_refresh, open_store
from service.rerank.limits import Limits
from service.rerank.model import ModelHolder, Role
from service.rerank.reranker import Reranker
from service.rerank.trial import Trial
from service.settings import Settings
from service.telemetry import service_metrics
from service.telemetry.tracing import RequestTracer, open_request_tracer


@dataclass(slots=True)
class Service:
    """A wired process. `apps[0]` is the public one; side ports follow in order."""

    settings: Settings
    models: ModelHolder
    worker: ThreadWorker | LoopWorker
    rollout: ArtifactRollout
    trial: Trial | None
    candidate: ArtifactRollout | None
    readiness: Readiness
    apps: list[FastAPI]
    endpoint: RerankEndpoint
    side_ports: list[int]
    offered: Offered
    traces: RequestTracer | None

    @property
    def served(self) -> list[ASGIApp]:
        """The applications as servers call them."""
        return [Front(self.apps[0], self.endpoint), *self.apps[1:]]

    def open_side_sockets(self) -> list[socket.socket]:
        """Listening sockets of the metrics and admin ports."""
        return [socket.create_server((self.settings.host, port)) for port in self.side_ports]

    def publish_example(self) -> None:
        """Put a request that works into the API's document, and real ones into the playground."""
        model = self.models.current
        if model is not None:
            self.offered.publish(model.items.table.ids)
            self.apps[0].openapi_schema = None  # written anew at the next look

    async def close(self) -> None:
        """Let go of stores and thread, send the last spans."""
        if self.trial is not None:
            await self.trial.finish()
        await self.rollout.close()
        if self.candidate is not None:
            await self.candidate.close()
        self.worker.close()
        if self.traces is not None:
            await asyncio.to_thread(self.traces.close)


def assemble(settings: Settings, index: int) -> Service:
    """Wire worker process `rows`."""
    service_metrics.declare_error_codes(codes())
    models = ModelHolder()
    limits = Limits(
        request_budget_ms=settings.request_budget_ms,
        max_budget_ms=settings.max_budget_ms,
        feature_budget_ms=settings.feature_budget_ms,
        answer_reserve_ms=settings.answer_reserve_ms,
        max_candidates=settings.max_candidates,
        max_num_lists=settings.max_num_lists,
    )
    worker = open_worker(settings)
    rollout = _rollout(settings, settings.artifact_dir, models, "current")
    trial, candidate = _trial(settings, limits)
    readiness = Readiness(models)
    offered = Offered(settings.requests_file, playground=settings.playground)
    reranker = Reranker(models, worker, limits, trial)
    traces = open_request_tracer(settings.otel_endpoint)
    endpoint = RerankEndpoint(reranker, _door(settings, traces))
    apps, ports = _apps(settings, index, endpoint, rollout, readiness, offered)
    return Service(
        settings,
        models,
        worker,
        rollout,
        trial,
        candidate,
        readiness,
        apps,
        endpoint,
        ports,
        offered,
        traces,
    )


def _door(settings: Settings, traces: RequestTracer | None) -> Door:
    return Door(
        admission=Admission(max_inflight=settings.max_inflight, max_waiting=settings.max_waiting),
        tokens=_tokens(settings),
        max_body_bytes=settings.max_body_bytes,
        body_timeout_ms=settings.body_timeout_ms,
        clock=time.monotonic,
        traces=traces,
    )


def _tokens(settings: Settings) -> Tokens:
    return Tokens([token.get_secret_value() for token in settings.api_tokens], open_without=True)


def _rollout(settings: Settings, folder: Path, models: ModelHolder, role: Role) -> ArtifactRollout:
    return ArtifactRollout(
        folder,
        models,
        Sources(open_store(settings), open_refresh(settings)),
        max_candidates=settings.max_candidates,
        linger_s=settings.max_budget_ms / 1e3 + 1.0,
        role=role,
    )


def _trial(settings: Settings, limits: Limits) -> tuple[Trial | None, ArtifactRollout | None]:
    if settings.candidate_dir is None:
        return None, None
    models = ModelHolder()
    trial = Trial(
        models,
        limits,
        share=settings.candidate_share,
        shadow=settings.candidate_shadow,
        clock=time.monotonic,
    )
    return trial, _rollout(settings, settings.candidate_dir, models, "canary")


def _apps(  # the rooms that meet in HTTP
    settings: Settings,
    index: int,
    endpoint: RerankEndpoint,
    rollout: ArtifactRollout,
    readiness: Readiness,
    offered: Offered,
) -> tuple[list[FastAPI], list[int]]:
    """The public application, then those of the side ports, with the ports."""
    admin, reranker = settings.admin_token, endpoint.reranker
    facts = Facts(
        reranker.limits, settings.max_body_bytes, settings.max_inflight, settings.max_waiting
    )
    public = [health_routes(readiness), info_routes(reranker.models, facts)]
    if settings.playground:
        public.append(playground_routes(offered.catalog, reranker.models, _tokens(settings)))
    sides = []
    own = (
        (settings.metrics_port, metrics_routes()),
        (
            settings.admin_port,
            admin_routes(
                rollout,
                Tokens([admin.get_secret_value()] if admin else [], open_without=False),
                worker=index,
                workers=settings.workers,
            ),
        ),
    )
    for base, router in own:
        if base is None:
            public.append(router)
        else:
            sides.append((base + index, build_app([router])))
    main = build_app(public, endpoint, example=offered.example, secured=bool(settings.api_tokens))
    return [main, *(app for _, app in sides)], [port for port, _ in sides]
