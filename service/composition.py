"""Builds every object of a process from the settings; the only place that selects adapters."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module

from fastapi import APIRouter, FastAPI

from model.contract.artifact.manifest import Manifest
from model.contract.kernels.compilation import KernelImplementation, select_implementation
from service.api.app import AddRoutes, Customize, build_app
from service.api.auth import BearerAuth
from service.api.concurrency import ConcurrencyLimiter
from service.api.errors import error_codes
from service.api.example_requests import ExampleRequests
from service.api.openapi import document_rerank
from service.api.readiness import Readiness
from service.api.request_metrics import RerankMetricsMiddleware
from service.api.routes.admin import admin_routes
from service.api.routes.health import health_routes
from service.api.routes.home import home_routes
from service.api.routes.info import ServerInfo, info_routes
from service.api.routes.playground import playground_routes
from service.api.routes.prometheus import metrics_routes
from service.api.routes.rerank import RerankDependencies, add_rerank_route
from service.artifacts.request_compatibility import find_incompatibilities
from service.artifacts.rollout import ArtifactRollout
from service.artifacts.stores import (
    RedisLocation,
    StoreFactories,
    memory_factories,
    redis_factories,
)
from service.inference.thread_executor import ThreadExecutor
from service.rerank.artifact_slot import ArtifactSlot
from service.rerank.canary_rollout import CanaryRollout
from service.rerank.request_limits import RequestLimits
from service.rerank.reranker import Reranker
from service.settings import MEMORY, Settings
from service.telemetry import service_metrics
from service.telemetry.tracing import RequestTracer, open_request_tracer


class AppHookError(Exception):
    """RERANK_APP_HOOK names no function that can be imported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The objects of one process.

    app: the public application.
    side_apps: by port, the applications of the metrics and the admin port.
    """

    settings: Settings
    models: ArtifactSlot
    reranker: Reranker
    worker: ThreadExecutor
    rollout: ArtifactRollout
    canary_rollout: ArtifactRollout | None
    readiness: Readiness
    examples: ExampleRequests
    traces: RequestTracer | None
    kernels: KernelImplementation
    app: FastAPI
    side_apps: Mapping[int, FastAPI]

    def publish_example(self) -> None:
        """Put example requests into the API document and the playground."""
        model = self.models.current
        if model is not None:
            self.examples.publish(model.items.table.ids)
            self.app.openapi_schema = None  # built anew at the next request

    async def close(self) -> None:
        """Close stores, thread and trace export."""
        if self.reranker.canary is not None:
            await self.reranker.canary.finish()
        await self.rollout.close()
        if self.canary_rollout is not None:
            await self.canary_rollout.close()
        self.worker.close()
        if self.traces is not None:
            await asyncio.to_thread(self.traces.close)


def build_service(settings: Settings, index: int, customize: Customize | None = None) -> Service:
    """The objects of worker process `index`.

    customize: changes the public FastAPI application before its routes are added: middleware,
        dependencies (`app.router.dependencies`), exception handlers, routes. The setting
        RERANK_APP_HOOK names such a function as `module:function`.
    """
    service_metrics.declare_error_codes(error_codes())
    models, limits = ArtifactSlot(), _limits(settings)
    worker = ThreadExecutor(settings.max_batch_size)
    trial, canary_rollout = _trial(settings, limits, models)
    reranker = Reranker(models, worker, limits, trial)
    rollout = _rollout(settings, models, canary_rollout)
    readiness = Readiness(models)
    examples = ExampleRequests(settings.requests_file, playground=settings.playground)
    traces = open_request_tracer(settings.otel_endpoint)
    side = _side_routes(settings, index, rollout)
    kernels = select_implementation(settings.kernels)
    routers = [
        *_public_routes(
            settings, reranker, readiness, examples, kernels=kernels, canary_rollout=canary_rollout
        ),
        *(router for port, router in side if port is None),
    ]
    app = build_app(
        routers,
        customize=customize or load_app_hook(settings.app_hook),
        add_routes=_rerank_route(settings, reranker, traces),
    )
    app.add_middleware(RerankMetricsMiddleware, clock=time.monotonic, traces=traces)
    document_rerank(app, examples.example)
    return Service(
        settings=settings,
        models=models,
        reranker=reranker,
        worker=worker,
        rollout=rollout,
        canary_rollout=canary_rollout,
        readiness=readiness,
        examples=examples,
        traces=traces,
        kernels=kernels,
        app=app,
        side_apps={port: build_app([router]) for port, router in side if port is not None},
    )


def load_app_hook(name: str | None) -> Customize | None:
    """The function that RERANK_APP_HOOK names; raises AppHookError where there is none."""
    if name is None:
        return None
    module, _, function = name.partition(":")
    try:
        hook: Customize = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise AppHookError(f"RERANK_APP_HOOK: {error}") from error
    return hook


def _limits(settings: Settings) -> RequestLimits:
    return RequestLimits(
        request_budget_ms=settings.request_budget_ms,
        max_budget_ms=settings.max_budget_ms,
        feature_budget_ms=settings.feature_budget_ms,
        answer_reserve_ms=settings.answer_reserve_ms,
        max_candidates=settings.max_candidates,
        max_num_lists=settings.max_num_lists,
    )


def _rollout(
    settings: Settings, models: ArtifactSlot, canary_rollout: ArtifactRollout | None
) -> ArtifactRollout:
    """The rollout of the current artifact; each change of it checks the canary anew."""
    return ArtifactRollout(
        settings.artifact_dir,
        models,
        _store_factories(settings),
        max_candidates=settings.max_candidates,
        close_delay_s=_close_delay_s(settings),
        on_change=lambda: (
            None if canary_rollout is None else canary_rollout.withdraw_incompatible()
        ),
    )


def _close_delay_s(settings: Settings) -> float:
    return settings.max_budget_ms / 1e3 + 1.0


def _store_factories(settings: Settings) -> StoreFactories:
    url = settings.redis_url.get_secret_value()
    if url == MEMORY:
        return memory_factories(settings.users_file)
    location = RedisLocation(
        url=url,
        prefix=settings.redis_prefix,
        connections=settings.redis_connections,
        cluster=settings.redis_cluster,
    )
    return redis_factories(location, refresh_interval_s=settings.items_refresh_s)


def _trial(
    settings: Settings, limits: RequestLimits, current: ArtifactSlot
) -> tuple[CanaryRollout | None, ArtifactRollout | None]:
    if settings.canary_dir is None:
        return None, None
    models = ArtifactSlot()
    trial = CanaryRollout(
        models,
        limits,
        share=settings.canary_share,
        shadow=settings.canary_shadow,
        clock=time.monotonic,
    )

    def find_canary_incompatibilities(canary: Manifest) -> list[str]:
        """Reasons against the canary; empty in shadow, where no client receives its responses."""
        if current.current is None or not settings.canary_share:
            return []
        return find_incompatibilities(
            current.current.manifest, canary, max_candidates=settings.max_candidates
        )

    rollout = ArtifactRollout(
        settings.canary_dir,
        models,
        _store_factories(settings),
        max_candidates=settings.max_candidates,
        close_delay_s=_close_delay_s(settings),
        role="canary",
        find_incompatibilities=find_canary_incompatibilities,
    )
    return trial, rollout


def _rerank_route(
    settings: Settings, reranker: Reranker, traces: RequestTracer | None
) -> AddRoutes:
    dependencies = RerankDependencies(
        reranker=reranker,
        limiter=ConcurrencyLimiter(
            max_inflight=settings.max_inflight, max_waiting=settings.max_waiting
        ),
        max_body_bytes=settings.max_body_bytes,
        body_timeout_ms=settings.body_timeout_ms,
        clock=time.monotonic,
        traces_stages=traces is not None,
    )
    return partial(add_rerank_route, dependencies=dependencies, auth=_api_auth(settings))


def _public_routes(
    settings: Settings,
    reranker: Reranker,
    readiness: Readiness,
    examples: ExampleRequests,
    *,
    kernels: KernelImplementation,
    canary_rollout: ArtifactRollout | None,
) -> list[APIRouter]:
    """Routes of the public port beside POST /rerank."""
    server = ServerInfo(
        reranker.limits,
        settings.max_body_bytes,
        settings.max_inflight,
        settings.max_waiting,
        kernels,
    )
    routers = [
        home_routes(playground=settings.playground),
        health_routes(readiness),
        info_routes(reranker.artifact_slot, server, canary_rollout),
    ]
    if settings.playground:
        auth = _api_auth(settings)
        routers.append(playground_routes(examples.catalog, reranker.artifact_slot, auth))
    return routers


def _side_routes(
    settings: Settings, index: int, rollout: ArtifactRollout
) -> list[tuple[int | None, APIRouter]]:
    """Routes with a port of their own; None where they share the public port."""
    admin = settings.admin_token
    auth = BearerAuth([] if admin is None else [admin.get_secret_value()])
    admin_router = admin_routes(rollout, auth, worker=index, workers=settings.workers)
    return [
        (_own_port(settings.metrics_port, index), metrics_routes()),
        (_own_port(settings.admin_port, index), admin_router),
    ]


def _own_port(base: int | None, index: int) -> int | None:
    return None if base is None else base + index


def _api_auth(settings: Settings) -> BearerAuth | None:
    tokens = [token.get_secret_value() for token in settings.api_tokens]
    return BearerAuth(tokens) if tokens else None
