"""A schema with every kind of item field, and tables of it."""

from __future__ import annotations

import numpy as np

from model.contract.encoding.encoder import FeatureEncoder
from model.contract.schema.declared import ITEM_ID, FieldKind, FieldScope
from model.contract.schema.fitted import FittedField, FittedSchema, id_field
from model.contract.schema.item_table import ItemTable

ITEMS_PREFIX = "relist-test"
SCHEMA = FittedSchema(
    fields=(
        id_field(ITEM_ID, FieldScope.ITEM, [f"i{at}" for at in range(50)]),
        FittedField(
            name="brand",
            scope=FieldScope.ITEM,
            kind=FieldKind.CATEGORICAL,
            size=2,
            values=("a", "b"),
        ),
        FittedField(
            name="tags",
            scope=FieldScope.ITEM,
            kind=FieldKind.MULTI,
            size=2,
            values=("x", "y"),
            width=2,
        ),
    )
)
ENCODER = FeatureEncoder(SCHEMA)


def make_item_table(ids: list[str], brand: str = "a") -> ItemTable:
    """A table of these items, all of one brand; numbers and titles follow the place."""
    places = np.array([int(i[1:]) if int(i[1:]) < 50 else -1 for i in ids])
    count = len(ids)
    tags = [["x", "y"][: 1 + at % 2] for at in range(count)]
    return ItemTable(
        ids=ids,
        rows=ENCODER.encode_items(places, {"brand": [brand] * count, "tags": tags}),
        default_row=ENCODER.default_item_row,
        numbers={"price": np.arange(count, dtype=np.float32)},
        display={"title": [f"title of {i}" for i in ids]},
    )
