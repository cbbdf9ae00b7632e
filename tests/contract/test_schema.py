"""What schema.toml may say, and the errors of one that says something else."""

import pytest

from model.contract.errors import SchemaError
from model.contract.schema import Kind, Scope, parse_schema, read_schema

GOOD = """
[[field]]
name = "brand"
scope = "item"
kind = "categorical"
unknown = "acme"
vocabulary = ["acme", "bolt"]

[[field]]
name = "distance"
scope = "candidate"
kind = "numeric"
buckets = [0.5, 3]
missing = 1

[display]
title = "title"
"""


def one(**keys: object) -> str:
    said = {"name": "'x'", "scope": "'item'", "kind": "'numeric'", **keys}
    return "[[field]]\n" + "\n".join(f"{k} = {v}" for k, v in said.items())


def test_a_schema_says_its_fields_and_offers_the_upstream_ones_first():
    schema = parse_schema(GOOD)

    assert [f.name for f in schema.fields(Scope.ITEM)] == ["brand"]
    candidate = schema.fields(Scope.CANDIDATE)
    assert [f.name for f in candidate] == ["upstream_score", "upstream_rank", "distance"]
    assert candidate[2].buckets == [0.5, 3.0]
    assert candidate[2].missing == 1.0
    assert candidate[0].kind is Kind.NUMERIC
    assert schema.display == {"title": "title"}


@pytest.mark.parametrize(
    ("said", "offered"),
    [
        ("[]", []),
        ('["rank"]', ["upstream_rank"]),
        ('["raw_score", "score"]', ["upstream_raw_score", "upstream_score"]),
    ],
)
def test_the_offered_fields_may_be_dropped_and_the_raw_score_added(said, offered):
    names = [f.name for f in parse_schema(f"upstream = {said}").fields(Scope.CANDIDATE)]
    assert names == offered


@pytest.mark.parametrize(
    ("text", "field", "rule"),
    [
        ("[[field", "schema.toml", "not TOML"),
        ("fields = []", "fields", "Extra inputs"),
        ("format = 2", "schema.toml", "format 2 is not 1"),
        ("field = [3]", "field 0", ""),
        ("field = 3", "field", ""),
        ("upstream = ['scores']", "schema.toml", "not 'scores'"),
        ("upstream = ['score', 'score']", "schema.toml", "twice"),
        (one(bucket="'quantile:4'"), "field 'x'.bucket", "Extra inputs"),
        (one(name="'a b'"), "field 'a b'.name", "pattern"),
        (one(name="'user_id'"), "field 'user_id'", "reserved"),
        (one(name="'clicks'"), "field 'clicks'", "reserved"),
        (one(scope="'session'"), "field 'x'", "service's own"),
        (one(kind="'id'"), "field 'x'", "service's own"),
        (one(scope="'items'"), "field 'x'.scope", "'item'"),
        (one(buckets="'quantile:1'"), "field 'x'", "2 <= B <= 256"),
        (one(buckets="'quantile:\u00b2'"), "field 'x'", "2 <= B <= 256"),
        (one(buckets="'rank_quantile:4'"), "field 'x'", "quantile:B"),
        (one(buckets="[]"), "field 'x'", "must be given"),
        (one(buckets="[2, 1]"), "field 'x'", "must rise"),
        (one(buckets="[1, 1]"), "field 'x'", "must rise"),
        (one(buckets="[1, nan, 2]"), "field 'x'", "finite"),
        (one(buckets="[0, inf]"), "field 'x'", "finite"),
        (one(missing="'none'"), "field 'x'", "'own' or a number"),
        (one(missing="nan"), "field 'x'", "'own' or a number"),
        (one(kind="'categorical'", missing="3"), "field 'x'", "'own' or a value"),
        (one(kind="'categorical'", vocabulary="'all'"), "field 'x'", "'fit' or a list"),
        (one(kind="'multi'", vocabulary="['a', 'a']"), "field 'x'", "twice"),
        (one(kind="'multi'", max_values="17"), "field 'x'.max_values", "16"),
        (one() + "\n" + one(), "schema.toml", "'x' is declared twice"),
    ],
)
def test_a_broken_schema_names_the_field_and_the_rule(text, field, rule):
    with pytest.raises(SchemaError) as refused:
        parse_schema(text)
    assert refused.value.field.startswith(field)
    assert rule in refused.value.rule


def test_a_schema_file_that_cannot_be_read_is_named(tmp_path):
    latin = tmp_path / "schema.toml"
    latin.write_bytes(b"# \xff")
    for path in (tmp_path / "nowhere.toml", tmp_path, latin):
        with pytest.raises(SchemaError, match=str(path)):
            read_schema(path)
    latin.write_text(GOOD, encoding="utf-8")
    assert read_schema(latin) == parse_schema(GOOD)
