"""Artifacts in and out of service: read, verified and warmed up beside the traffic, then swapped.

A broken one is refused and the present one keeps serving; the previous one stands by.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from model.contract.artifact.manifest import Manifest
from model.contract.encoding.encoder import FeatureEncoder
from model.contract.errors import ManifestError
from model.contract.schema.item_table import ItemTable
from service.errors import NoPreviousArtifact, ReloadInProgress
from service.inference.artifact import Artifact, read_artifact
from service.inference.verify import same_together, verify
from service.rerank.cost import Cost
from service.rerank.model import Model, ModelHolder, Role
from service.rerank.ports import ItemHolder, UserStore
from service.rerank.warmup import measure
from service.telemetry import service_metrics
from service.telemetry.structured_logs import log_event

OpenStore = Callable[[str], UserStore]  # by schema hash
Refresh = Callable[[Manifest, ItemTable, Callable[[ItemTable], None]], Coroutine[None, None, None]]


@dataclass(frozen=True, slots=True)
class Sources:
    """Where users come from, and what keeps items fresh (None: nothing does)."""

    open_store: OpenStore
    refresh: Refresh | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A verified artifact and what its runs cost."""

    artifact: Artifact
    store: UserStore
    cost: dict[bool, Cost]


class ArtifactRollout:
    """One change at a time; the traffic never waits for it."""

    def __init__(
        self,
        folder: Path,
        models: ModelHolder,
        sources: Sources,
        *,
        max_candidates: int,
        linger_s: float,
        role: Role = "current",
    ) -> None:
        self._role: Role = role
        self._folder, self._models = folder, models
        self._open_store, self._refresh = sources.open_store, sources.refresh
        self._max_candidates, self._linger_s = max_candidates, linger_s
        self._changing = asyncio.Lock()
        self._waiting = False  # a reload for its turn
        # One thread for all loads: each thread that allocates keeps a heap of its own for ever.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rollout")
        self._refreshers: dict[int, asyncio.Task[None]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def reload(self) -> None:
        """Verify, warm up and serve what the folder holds now.

        Raises ManifestError, or ReloadInProgress when another change is under way.
        """
        if self._changing.locked():
            raise ReloadInProgress
        async with self._changing:
            await self._load()

    async def reload_in_turn(self) -> None:
        """The same, after a change that is under way: a signal cannot be told to come again.

        Signals that come while one waits are that one: the folder is looked at when it begins.
        """
        if self._waiting:
            return
        self._waiting = True
        async with self._changing:
            self._waiting = False
            await self._load()

    async def roll_back(self) -> None:
        """Serve the previous artifact again; raises NoPreviousArtifact."""
        if self._changing.locked():
            raise ReloadInProgress
        if not self._models.roll_back():
            raise NoPreviousArtifact
        self._announce("rolled_back")

    def names(self) -> tuple[str, str | None]:
        """The current and the previous artifact."""
        current, previous = self._models.current, self._models.previous
        return (
            "" if current is None else current.manifest.artifact,
            None if previous is None else previous.manifest.artifact,
        )

    async def close(self) -> None:
        """End refreshers and close the stores of every model."""
        for task in [*self._refreshers.values(), *self._closing]:
            task.cancel()
        for model in (self._models.current, self._models.previous):
            if model is not None:
                await model.store.close()

    async def _load(self) -> None:
        try:
            prepared = await asyncio.get_running_loop().run_in_executor(self._thread, self._prepare)
        except ManifestError as error:
            service_metrics.ARTIFACT_RELOADS.labels(self._role, "rejected").inc()
            log_event("error", "artifact_rejected", reason=str(error))
            raise
        model = self._assemble(prepared)
        dropped = self._models.swap(model)
        self._announce("swapped")
        if dropped is not None:
            self._retire(dropped)

    def _prepare(self) -> Prepared:
        """On a thread of its own: everything that takes time."""
        artifact = read_artifact(self._folder)
        rows = verify(artifact)
        artifact.graphs.shares = shares = same_together(artifact)
        cost = measure(artifact.graphs.bind(), artifact.manifest, self._max_candidates)
        name = artifact.manifest.artifact
        log_event("info", "artifact_verified", artifact=name, golden_rows=rows, shares_runs=shares)
        return Prepared(artifact, self._open_store(artifact.manifest.schema_hash), cost)

    def _assemble(self, prepared: Prepared) -> Model:
        artifact = prepared.artifact
        holder = ItemHolder(artifact.items)
        model = Model(
            manifest=artifact.manifest,
            encoder=FeatureEncoder(artifact.manifest.features),
            graphs=artifact.graphs.counted_as(self._role),
            items=holder,
            store=prepared.store,
            cost=prepared.cost,
            role=self._role,
        )
        if self._refresh is not None:
            coroutine = self._refresh(artifact.manifest, artifact.items, holder.swap)
            task = asyncio.get_running_loop().create_task(coroutine)
            task.add_done_callback(_report)
            self._refreshers[id(model)] = task
        return model

    def _announce(self, outcome: service_metrics.ReloadOutcome) -> None:
        model = self._models.current
        if model is None:
            return
        manifest = model.manifest
        service_metrics.ARTIFACT_RELOADS.labels(self._role, outcome).inc()
        service_metrics.set_artifact_info(self._role, manifest.artifact, manifest.schema_hash)
        log_event(
            "info", "artifact_activated", artifact=manifest.artifact, role=self._role, how=outcome
        )

    def _retire(self, model: Model) -> None:
        """Close the store of a dropped model once no request can still be reading from it.

        Its graphs go with the last request that holds them: nothing here keeps the model itself.
        """
        refresher, store = self._refreshers.pop(id(model), None), model.store
        if refresher is not None:
            refresher.cancel()

        async def later() -> None:
            await asyncio.sleep(self._linger_s)
            await store.close()

        task = asyncio.ensure_future(later())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _report(refresher: asyncio.Task[None]) -> None:
    """A refresher only ends by being cancelled; the table that it leaves keeps serving."""
    if not refresher.cancelled():
        log_event("error", "item_refresh_failed", refresher.exception())
