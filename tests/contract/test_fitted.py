"""The fitted schema: where each field lives, and a hash of meaning and of nothing else."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from model.contract.fitted import FittedSchema, columns, from_json, id_field, spans
from model.contract.schema import ITEM_ID, Scope


def changed(schema: FittedSchema, field: str, change: dict[str, Any]) -> FittedSchema:
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
    ("color", {"scope": Scope.USER}),
]


@pytest.mark.parametrize(("name", "change"), MEANINGS)
def test_the_hash_changes_with_every_meaning(schema, name, change):
    assert changed(schema, name, change).hash != schema.hash


def test_the_order_of_fields_is_a_meaning(schema):
    first, second, third, *rest = schema.fields
    swapped = FittedSchema(fields=(first, third, second, *rest), display=schema.display)
    assert swapped.hash != schema.hash


def test_what_people_are_shown_is_not_a_meaning(schema):
    shown = FittedSchema(fields=schema.fields, display={"title": "name", "image": "url"})
    assert shown.hash == schema.hash


def test_the_hash_survives_json_whatever_the_order_of_keys(schema):
    raw = json.loads(schema.model_dump_json())
    turned = {**raw, "fields": [dict(reversed(f.items())) for f in raw["fields"]]}

    assert from_json(turned) == schema
    assert from_json(turned).hash == schema.hash
    assert len(bytes.fromhex(schema.hash)) == 8


def test_the_hash_of_a_written_down_schema_does_not_drift_between_releases():
    # Frozen: a new value here means that no artifact and no stored user of before can be read.
    small = FittedSchema(fields=(id_field(ITEM_ID, Scope.ITEM, ["a", "b"]),))
    assert small.hash == "e19f0c1a4e26277a"


def test_ids_that_differ_only_in_where_they_are_cut_have_different_digests():
    one, other = (id_field(ITEM_ID, Scope.ITEM, ids) for ids in (["a\nb", "c"], ["a", "b\nc"]))
    assert one.size == other.size == 2
    assert one.digest != other.digest


def test_columns_and_spans_follow_the_widths(schema):
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
    assert spans(fields) == [(0, 1), (1, 1), (2, 2), *((at, 1) for at in range(4, 9))]
    assert columns(fields) == 9


def test_a_session_carries_item_fields_and_feedback_but_no_candidate_field(schema):
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
def test_a_schema_whose_blocks_would_overlap_is_refused(schema, name, change, rule):
    raw = json.loads(schema.model_dump_json())
    [field] = [f for f in raw["fields"] if f["name"] == name]
    field |= change
    with pytest.raises(ValidationError, match=rule):
        from_json(raw)


def test_ids_must_lead_their_scope_because_tables_put_them_first(schema):
    first, second, *rest = schema.fields
    with pytest.raises(ValidationError, match="item_id must be the first field of its scope"):
        FittedSchema(fields=(second, first, *rest))
