"""Changes the artifact of a slot: reads, verifies and warms it up beside the traffic, then swaps.

A broken artifact is refused and the current one keeps serving. The previous one stays warm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from model.contract.artifact.manifest import Manifest
from model.contract.encoding.encoder import FeatureEncoder
from model.contract.errors import ManifestError
from service.artifacts.stores import StoreFactories
from service.errors import NoPreviousArtifact, ReloadInProgress
from service.inference.artifact_reader import Artifact, read_artifact
from service.inference.verification import batching_is_exact, verify_artifact
from service.rerank.artifact_slot import ArtifactSlot, ItemTableSlot, ServingModel
from service.rerank.interfaces import UserStore
from service.rerank.latency_model import SearchLatency
from service.rerank.warmup import measure_search_latency
from service.telemetry import service_metrics
from service.telemetry.structured_logs import log_event

# /info shows this text for other refusals: their reasons may hold paths, which stay in the log
_FAILED_CHECKS = "failed its checks; artifact_rejected in the log has the reason"

FindIncompatibilities = Callable[[Manifest], Sequence[str]]


@dataclass(frozen=True, slots=True)
class VerifiedArtifact:
    """An artifact that passed its checks, with its user store and measured latency."""

    artifact: Artifact
    store: UserStore
    latency: dict[bool, SearchLatency]


class ArtifactRollout:
    """Makes one change of a slot's artifact at a time; requests do not wait for it.

    rejection: reason why the last change was refused or undone; None after a successful one.
    """

    def __init__(
        self,
        folder: Path,
        models: ArtifactSlot,
        stores: StoreFactories,
        *,
        max_candidates: int,
        close_delay_s: float,
        role: service_metrics.ArtifactRole = "current",
        find_incompatibilities: FindIncompatibilities = lambda _: (),
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Build a rollout; nothing is loaded yet.

        Args:
            folder: artifact folder, or one with a `current` link to it.
            models: the slot whose artifact this rollout changes.
            stores: how to reach users and items.
            max_candidates: limit of the process.
            close_delay_s: after this long no request reads a replaced model any more.
            role: of the slot, for logs and metrics.
            find_incompatibilities: reasons why an artifact may not serve in this slot.
            on_change: called in the same step of the event loop as each change of the slot.
        """
        self._find_incompatibilities, self._on_change = find_incompatibilities, on_change
        self.rejection: str | None = None
        self._role: service_metrics.ArtifactRole = role
        self._folder, self._models = folder, models
        self._open_store, self._refresh_items = stores.open_store, stores.refresh_items
        self._max_candidates, self._close_delay_s = max_candidates, close_delay_s
        self._changing = asyncio.Lock()
        self._queued = False  # a reload waits for the current change
        # One thread for all loads: each thread that allocates keeps its own heap.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rollout")
        self._refreshers: dict[int, asyncio.Task[None]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def reload(self) -> None:
        """Verify, warm up and serve the present artifact of the folder.

        Raises ManifestError, or ReloadInProgress when another change is under way.
        """
        if self._changing.locked():
            raise ReloadInProgress
        async with self._changing:
            await self._load()

    async def reload_queued(self) -> None:
        """Reload after a change that is under way, because a signal gets no answer.

        Calls while one waits have no effect: the waiting one reads the folder when it begins.
        """
        if self._queued:
            return
        self._queued = True
        async with self._changing:
            self._queued = False
            await self._load()

    async def roll_back(self) -> None:
        """Serve the previous artifact again; raises NoPreviousArtifact."""
        if self._changing.locked():
            raise ReloadInProgress
        if not self._models.roll_back():
            raise NoPreviousArtifact
        self._on_change()
        self._announce("rolled_back")

    def withdraw_incompatible(self) -> None:
        """Empty the slot if its artifact may no longer serve, and log the reason."""
        model = self._models.current
        reasons = [] if model is None else self._find_incompatibilities(model.manifest)
        if model is None or not reasons:
            return
        self.rejection = _refusal_text(reasons)
        service_metrics.ARTIFACT_RELOADS.labels(self._role, "withdrawn").inc()
        service_metrics.clear_artifact_info(self._role)
        name = model.manifest.artifact
        log_event(
            "warning", "artifact_withdrawn", artifact=name, role=self._role, reason=self.rejection
        )
        for dropped in self._models.clear():
            self._retire(dropped)

    def names(self) -> tuple[str, str | None]:
        """The current and the previous artifact."""
        current, previous = self._models.current, self._models.previous
        return (
            "" if current is None else current.manifest.artifact,
            None if previous is None else previous.manifest.artifact,
        )

    async def close(self) -> None:
        """Cancel refreshers and close the stores of every model."""
        for task in [*self._refreshers.values(), *self._closing]:
            task.cancel()
        for model in (self._models.current, self._models.previous):
            if model is not None:
                await model.store.close()

    async def _load(self) -> None:
        self.rejection = None
        try:
            verified = await asyncio.get_running_loop().run_in_executor(self._thread, self._verify)
            await self._require_compatible(verified)
        except ManifestError as error:
            self.rejection = self.rejection or _FAILED_CHECKS
            service_metrics.ARTIFACT_RELOADS.labels(self._role, "rejected").inc()
            log_event("error", "artifact_rejected", role=self._role, reason=str(error))
            raise
        dropped = self._models.swap(self._build_model(verified))
        self._on_change()
        self._announce("swapped")
        if dropped is not None:
            self._retire(dropped)

    async def _require_compatible(self, verified: VerifiedArtifact) -> None:
        """Raise ManifestError for an artifact that may not serve in this slot."""
        manifest = verified.artifact.manifest
        reasons = self._find_incompatibilities(manifest)
        if not reasons:
            return  # without a suspension: the slot is swapped in the same step
        await verified.store.close()
        self.rejection = _refusal_text(reasons)
        raise ManifestError(artifact=manifest.artifact, reason=self.rejection)

    def _verify(self) -> VerifiedArtifact:
        """Read, verify and warm up; runs on the rollout's thread."""
        artifact = read_artifact(self._folder)
        rows = verify_artifact(artifact)
        artifact.graphs.batchable = batchable = batching_is_exact(artifact)
        latency = measure_search_latency(
            artifact.graphs.bind(), artifact.manifest, self._max_candidates
        )
        name = artifact.manifest.artifact
        log_event("info", "artifact_verified", artifact=name, golden_rows=rows, batchable=batchable)
        return VerifiedArtifact(artifact, self._open_store(artifact.manifest.schema_hash), latency)

    def _build_model(self, verified: VerifiedArtifact) -> ServingModel:
        artifact = verified.artifact
        holder = ItemTableSlot(artifact.items)
        model = ServingModel(
            manifest=artifact.manifest,
            encoder=FeatureEncoder(artifact.manifest.features),
            graphs=artifact.graphs.with_role(self._role),
            items=holder,
            store=verified.store,
            latency=verified.latency,
            role=self._role,
        )
        if self._refresh_items is not None:
            coroutine = self._refresh_items(artifact.manifest, artifact.items, holder.swap)
            task = asyncio.get_running_loop().create_task(coroutine)
            task.add_done_callback(_log_refresher_end)
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

    def _retire(self, model: ServingModel) -> None:
        """Close the store of a dropped model after the last request that can read it.

        Its graphs are freed with that request: nothing here references the model itself.
        """
        refresher, store = self._refreshers.pop(id(model), None), model.store
        if refresher is not None:
            refresher.cancel()

        async def close_later() -> None:
            await asyncio.sleep(self._close_delay_s)
            await store.close()

        task = asyncio.ensure_future(close_later())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _refusal_text(reasons: Sequence[str]) -> str:
    return f"requests that the current artifact accepts would be refused: {'; '.join(reasons)}"


def _log_refresher_end(refresher: asyncio.Task[None]) -> None:
    """Log an unexpected end of a refresher; the last item table keeps serving."""
    if not refresher.cancelled():
        log_event("error", "item_refresh_failed", refresher.exception())
