"""Everything of one artifact that a request needs, swapped as a whole between two requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from model.contract.artifact.manifest import Manifest
from model.contract.encoding.encoder import FeatureEncoder
from service.rerank.cost import Cost
from service.rerank.ports import ItemSource, RunnableGraphs, UserStore

Role = Literal["current", "canary"]


@dataclass(frozen=True, slots=True)
class Model:
    """One verified, warmed-up artifact and the user store of its schema.

    cost: by graph, without and with rules.
    """

    manifest: Manifest
    encoder: FeatureEncoder
    graphs: RunnableGraphs
    items: ItemSource
    store: UserStore
    cost: dict[bool, Cost]
    role: Role = "current"


class ModelHolder:
    """The models that serve; empty until the first artifact is verified."""

    def __init__(self) -> None:
        self.current: Model | None = None
        self.previous: Model | None = None

    def swap(self, model: Model) -> Model | None:
        """Serve `model` from the next request on; returns the one that nobody may reach now."""
        dropped, self.previous, self.current = self.previous, self.current, model
        return dropped

    def roll_back(self) -> bool:
        """Change places with the previous model; False when there is none."""
        if self.previous is None:
            return False
        self.current, self.previous = self.previous, self.current
        return True
