"""A schema with every kind of item field, and tables of it."""

from __future__ import annotations

import numpy as np

from model.contract.encode import Encoder
from model.contract.fitted import FittedField, FittedSchema, id_field
from model.contract.items import ItemTable
from model.contract.schema import ITEM_ID, Kind, Scope

ITEMS_PREFIX = "relist-test"
SCHEMA = FittedSchema(
    fields=(
        id_field(ITEM_ID, Scope.ITEM, [f"i{at}" for at in range(50)]),
        FittedField(
            name="brand", scope=Scope.ITEM, kind=Kind.CATEGORICAL, size=2, values=("a", "b")
        ),
        FittedField(
            name="tags", scope=Scope.ITEM, kind=Kind.MULTI, size=2, values=("x", "y"), width=2
        ),
    )
)
ENCODER = Encoder(SCHEMA)


def item_table(ids: list[str], brand: str = "a") -> ItemTable:
    """A table of these items, all of one brand; numbers and titles follow the place."""
    places = np.array([int(i[1:]) if int(i[1:]) < 50 else -1 for i in ids])
    count = len(ids)
    tags = [["x", "y"][: 1 + at % 2] for at in range(count)]
    return ItemTable(
        ids=ids,
        rows=ENCODER.encode_items(places, {"brand": [brand] * count, "tags": tags}),
        default_row=ENCODER.default_item,
        numbers={"price": np.arange(count, dtype=np.float32)},
        display={"title": [f"title of {i}" for i in ids]},
    )
