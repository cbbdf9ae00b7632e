"""Wire models of a request's `constraints`, and the rules between them.

Checks that need neither schema nor candidates; `rules/rows.py` turns constraints into rule rows
over the candidates of one request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from model.contract.errors import ValueRejected

MAX_PINS, MAX_EXCLUDED, MAX_CAPS, MAX_MINIMUMS = 50, 1000, 16, 16
MAX_SLOT_COUNT = 1000  # far above any list; keeps numbers of the wire small
CONSTRAINTS_PATH = "constraints"

_Id = Annotated[str, Field(min_length=1, max_length=256)]
_Name = Annotated[str, Field(min_length=1, max_length=64)]
_Value = Annotated[str, Field(min_length=1, max_length=256)]
_Count = Annotated[int, Field(ge=0, le=MAX_SLOT_COUNT)]


class ConstraintModel(BaseModel):
    """Part of the constraints: unknown keys and other types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Pin(ConstraintModel):
    """This item is in this slot, and no edit moves it."""

    slot: _Count = Field(description="counted from 0")
    item_id: _Id = Field(description="one of the candidates")


class Cap(ConstraintModel):
    """At most `max` items with a value, in the whole list or in any `window` slots in a row."""

    field: _Name = Field(description="categorical or multi field of items or candidates")
    value: _Value | None = Field(
        default=None, description="absent: holds for each value that the candidates have"
    )
    max: _Count
    window: int | None = Field(
        default=None,
        ge=1,
        le=MAX_SLOT_COUNT,
        description="consecutive slots; absent: the whole list",
    )


class Minimum(ConstraintModel):
    """At least `min` items with a value in the list."""

    field: _Name = Field(description="categorical or multi field of items or candidates")
    value: _Value
    min: _Count


class Constraints(ConstraintModel):
    """Rules that a response obeys, whatever the nets prefer."""

    pinned: list[Pin] = Field(default=[], max_length=MAX_PINS)
    exclude: list[_Id] = Field(
        default=[], max_length=MAX_EXCLUDED, description="an id that is no candidate has no effect"
    )
    caps: list[Cap] = Field(default=[], max_length=MAX_CAPS)
    minimums: list[Minimum] = Field(default=[], max_length=MAX_MINIMUMS)

    @field_validator("pinned")
    @classmethod
    def _pins_do_not_contradict(cls, pinned: list[Pin]) -> list[Pin]:
        _check_no_repeats("slot", [pin.slot for pin in pinned])
        _check_no_repeats("item_id", [pin.item_id for pin in pinned])
        return pinned

    @model_validator(mode="after")
    def _no_pinned_item_is_excluded(self) -> Self:
        excluded = {item_id: at for at, item_id in enumerate(self.exclude)}
        for at, pin in enumerate(self.pinned):
            if pin.item_id in excluded:
                other = excluded[pin.item_id]
                raise ValueError(
                    f"pinned[{at}].item_id {pin.item_id!r} is excluded too (exclude[{other}])"
                )
        return self

    def __bool__(self) -> bool:
        """Whether there is any constraint."""
        return bool(self.pinned or self.exclude or self.caps or self.minimums)

    def check_list_size(self, list_size: int) -> None:
        """Raise ValueRejected when a pin or a minimum goes beyond a list of this size."""
        for at, pin in enumerate(self.pinned):
            if pin.slot >= list_size:
                raise ValueRejected(
                    field=f"{CONSTRAINTS_PATH}.pinned[{at}].slot",
                    rule=f"slot {pin.slot} is beyond a list of {list_size} (slots count from 0)",
                )
        for at, minimum in enumerate(self.minimums):
            if minimum.min > list_size:
                raise ValueRejected(
                    field=f"{CONSTRAINTS_PATH}.minimums[{at}].min",
                    rule=f"{minimum.min} items do not fit in a list of {list_size}",
                )


def _check_no_repeats(what: str, values: Sequence[int | str]) -> None:
    """Refuse pins with a repeated slot or item."""
    seen: dict[int | str, int] = {}
    for at, value in enumerate(values):
        if value in seen:
            raise ValueError(f"[{at}].{what} {value!r} is pinned already by [{seen[value]}]")
        seen[value] = at
