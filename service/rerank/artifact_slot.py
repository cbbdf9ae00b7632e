"""The artifact that serves requests: its model, and the slot that swaps it between two requests."""

from __future__ import annotations

from dataclasses import dataclass

from model.contract.artifact.manifest import Manifest
from model.contract.encoding.encoder import FeatureEncoder
from model.contract.schema.item_table import ItemTable
from service.rerank.interfaces import ArtifactGraphs, ItemSource, UserStore
from service.rerank.latency_model import SearchLatency
from service.telemetry.service_metrics import ArtifactRole


@dataclass(frozen=True, slots=True)
class ServingModel:
    """One verified, warmed-up artifact with the user store of its schema.

    latency: of searches, by whether the graphs with rules run.
    """

    manifest: Manifest
    encoder: FeatureEncoder
    graphs: ArtifactGraphs
    items: ItemSource
    store: UserStore
    latency: dict[bool, SearchLatency]
    role: ArtifactRole = "current"


class ArtifactSlot:
    """Holds the current and the previous model of one role; empty until the first swap."""

    def __init__(self) -> None:
        self.current: ServingModel | None = None
        self.previous: ServingModel | None = None

    def swap(self, model: ServingModel) -> ServingModel | None:
        """Serve `model` from the next request on. Return the model that left the slot."""
        dropped, self.previous, self.current = self.previous, self.current, model
        return dropped

    def clear(self) -> list[ServingModel]:
        """Serve none of the models any more. Return those that left the slot."""
        dropped = [model for model in (self.current, self.previous) if model is not None]
        self.current = self.previous = None
        return dropped

    def roll_back(self) -> bool:
        """Swap the current and the previous model. Return False without a previous model."""
        if self.previous is None:
            return False
        self.current, self.previous = self.previous, self.current
        return True


class ItemTableSlot:
    """Holds an item table; a background refresher replaces the whole table between requests."""

    def __init__(self, table: ItemTable) -> None:
        self._table = table

    @property
    def table(self) -> ItemTable:
        """The current table."""
        return self._table

    def swap(self, table: ItemTable) -> None:
        """Replace the table by one of the same columns; raise ValueError for other columns."""
        if table.rows.shape[1:] != self._table.rows.shape[1:]:
            raise ValueError(
                f"item rows of {table.rows.shape[1:]} do not fit {self._table.rows.shape[1:]}"
            )
        self._table = table
