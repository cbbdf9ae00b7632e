"""The fitted schema: where each field lives, and a hash of meaning and of nothing else."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from model.contract.schema.declared import ITEM_ID, FieldScope
from model.contract.schema.fitted import (
    FittedSchema,
    column_count,
    column_spans,
    fitted_schema_from_json,
    id_field,
)


def with_changed_field(schema: FittedSchema, field: str, change: dict[str, Any]) -> FittedSchema:
    fields = tuple(f.model_copy(update=change) if f.name == field else f for f in schema.fields)
    return FittedSchema(fields=fields, display=schema.display)


MEANINGS: list[tuple[str, dict[str, Any]]] = [
    ("brand", {"values": ("bolt", "acme")}),
    ("brand", {"values": ("acme", "bolt", "crux"), "size": 3}),
    ("brand", {"missing": 2}),
    ("brand", {"unknown": 2}),
    ("brand", {"name": "maker"}),
    ("price", {"edges": (1.0, 2.5, 10.5)}),
    ("price", {"edges": (1.0, 2.5), "size": 3}),
    ("tags", {"width": 3}),
    ("upstream_score", {"rank_buckets": 8, "size": 8}),
    ("item_id", {"digest": "another"}),
    ("color", {"scope": FieldScope.USER}),
]


@pytest.mark.parametrize(("name", "change"), MEANINGS)
def test_schema_hash_changes_with_every_field_property(schema, name, change):
    assert with_changed_field(schema, name, change).hash != schema.hash


def test_schema_hash_changes_with_field_order(schema):
    first, second, third, *rest = schema.fields
    swapped = FittedSchema(fields=(first, third, second, *rest), display=schema.display)
    assert swapped.hash != schema.hash


def test_schema_hash_ignores_display(schema):
    shown = FittedSchema(fields=schema.fields, display={"title": "name", "image": "url"})
    assert shown.hash == schema.hash


def test_schema_hash_survives_json_with_any_key_order(schema):
    raw = json.loads(schema.model_dump_json())
    turned = {**raw, "fields": [dict(reversed(f.items())) for f in raw["fields"]]}

    assert fitted_schema_from_json(turned) == schema
    assert fitted_schema_from_json(turned).hash == schema.hash
    assert len(bytes.fromhex(schema.hash)) == 8


def test_schema_hash_of_fixed_schema_is_constant():
    # Frozen: a new value here means that no artifact and no stored user of before can be read.
    small = FittedSchema(fields=(id_field(ITEM_ID, FieldScope.ITEM, ["a", "b"]),))
    assert small.hash == "e19f0c1a4e26277a"


def test_id_field_digest_separates_ids():
    one, other = (id_field(ITEM_ID, FieldScope.ITEM, ids) for ids in (["a\nb", "c"], ["a", "b\nc"]))
    assert one.size == other.size == 2
    assert one.digest != other.digest


def test_column_spans_follow_field_widths(schema):
    fields = schema.candidate_fields
    assert [f.name for f in fields] == [
        "item_id",
        "brand",
        "tags",
        "price",
        "upstream_score",
        "upstream_rank",
        "upstream_raw_score",
        "distance",
    ]
    assert column_spans(fields) == [(0, 1), (1, 1), (2, 2), *((at, 1) for at in range(4, 9))]
    assert column_count(fields) == 9


def test_session_fields_have_no_candidate_fields(schema):
    names = [f.name for f in schema.session_fields]
    assert names == ["item_id", "brand", "tags", "price", "clicked", "converted"]
    assert [f.name for f in schema.user_fields] == ["user_id", "age", "color"]


@pytest.mark.parametrize(
    ("name", "change", "rule"),
    [
        ("brand", {"size": 3}, "not that of its values"),
        ("price", {"size": 3}, "not that of its edges"),
        ("upstream_score", {"size": 3}, "not that of its rank_buckets"),
        ("brand", {"missing": 4}, "inside the block"),
        ("brand", {"unknown": -1}, "inside the block"),
        ("brand", {"name": "price"}, "stands twice"),
    ],
)
def test_fitted_field_inconsistent_size_is_rejected(schema, name, change, rule):
    raw = json.loads(schema.model_dump_json())
    [field] = [f for f in raw["fields"] if f["name"] == name]
    field |= change
    with pytest.raises(ValidationError, match=rule):
        fitted_schema_from_json(raw)


def test_fitted_schema_id_not_first_is_rejected(schema):
    first, second, *rest = schema.fields
    with pytest.raises(ValidationError, match="item_id must be the first field of its scope"):
        FittedSchema(fields=(second, first, *rest))
