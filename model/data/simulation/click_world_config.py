"""Settings of a simulated log: the response model, and the log around it."""

from __future__ import annotations

from dataclasses import field

from pydantic.dataclasses import dataclass as pydantic_dataclass

from model.config.toml_reader import STRICT_CONFIG
from model.data.simulation.response_models.response_model import UserResponse
from model.data.simulation.response_models.response_registry import (
    LISTWISE,
    build_response_model,
)


@pydantic_dataclass(frozen=True, slots=True, kw_only=True, config=STRICT_CONFIG)
class ClickWorldConfig:
    """Settings; presets/click_world_4of12.toml explains each."""

    form: str = LISTWISE
    lists: int = 48_000
    candidates: int = 12
    slots: int = 4
    days: int = 90
    seed: int = 0
    shares: tuple[float, ...] = (0.8, 0.1, 0.1)
    popularity_power: float = 0.75
    taste_pull: float = 0.8
    upstream_weight: float = 0.8
    upstream_noise: float = 0.8
    upstream_bias_share: float = 0.0
    exploration: float = 0.5
    fresh_items_per_day: int = 0
    item_life_days: float = 2.0
    parameters: dict[str, int | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.response_model()  # checks the name and the parameters
        if not 1 <= self.slots <= self.candidates:
            raise ValueError(f"needs 1 <= slots={self.slots} <= candidates={self.candidates}")
        if self.lists < 1 or self.days < 1:
            raise ValueError("lists and days are at least 1")
        if self.fresh_items_per_day < 0 or self.item_life_days < 1.0:
            raise ValueError("fresh_items_per_day is at least 0 and item_life_days at least 1")
        if 0 < self.fresh_items_per_day * self.item_life_days < 2 * self.candidates:
            raise ValueError(
                f"fresh_items_per_day={self.fresh_items_per_day} that live for "
                f"item_life_days={self.item_life_days} are too few for {self.candidates} candidates"
            )
        if not 0.0 <= self.upstream_bias_share <= 1.0:
            raise ValueError(f"upstream_bias_share={self.upstream_bias_share} is not in [0, 1]")

    @property
    def total_lists(self) -> int:
        """Lists of all parts together."""
        return round(self.lists / self.shares[0])

    def response_model(self) -> UserResponse:
        """The response model with its parameters."""
        return build_response_model(self.form, self.parameters)
