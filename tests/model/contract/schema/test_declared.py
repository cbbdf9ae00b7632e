"""What schema.toml may say, and the errors of one that says something else."""

import pytest

from model.contract.errors import SchemaError
from model.contract.schema.declared import FieldKind, FieldScope, parse_schema, read_schema

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


def schema_toml_with_field(**keys: object) -> str:
    said = {"name": "'x'", "scope": "'item'", "kind": "'numeric'", **keys}
    return "[[field]]\n" + "\n".join(f"{k} = {v}" for k, v in said.items())


def test_fields_in_scope_lists_upstream_fields_first():
    schema = parse_schema(GOOD)

    assert [f.name for f in schema.fields_in_scope(FieldScope.ITEM)] == ["brand"]
    candidate = schema.fields_in_scope(FieldScope.CANDIDATE)
    assert [f.name for f in candidate] == ["upstream_score", "upstream_rank", "distance"]
    assert candidate[2].buckets == [0.5, 3.0]
    assert candidate[2].missing == 1.0
    assert candidate[0].kind is FieldKind.NUMERIC
    assert schema.display == {"title": "title"}


@pytest.mark.parametrize(
    ("said", "offered"),
    [
        ("[]", []),
        ('["rank"]', ["upstream_rank"]),
        ('["raw_score", "score"]', ["upstream_raw_score", "upstream_score"]),
    ],
)
def test_parse_schema_upstream_selects_upstream_fields(said, offered):
    names = [
        f.name for f in parse_schema(f"upstream = {said}").fields_in_scope(FieldScope.CANDIDATE)
    ]
    assert names == offered


@pytest.mark.parametrize(
    ("text", "field", "rule"),
    [
        ("[[field", "schema.toml", "not TOML"),
        ("fields = []", "fields", "unknown key; did you mean 'field'? Allowed keys are"),
        ("format = 2", "schema.toml", "format 2 is not 1"),
        ("field = [3]", "field 0", ""),
        ("field = 3", "field", ""),
        ("upstream = ['scores']", "schema.toml", "not 'scores'"),
        ("upstream = ['score', 'score']", "schema.toml", "twice"),
        (
            schema_toml_with_field(bucket="'quantile:4'"),
            "field 'x'.bucket",
            "unknown key; did you mean 'buckets'? Allowed keys are buckets, kind, max_values",
        ),
        ("[[field]]\nnam = 'x'", "field 0.nam", "did you mean 'name'"),
        ("[[field]]\nname = 'x'\nkind = 'multi'", "field 'x'.scope", "is missing"),
        (schema_toml_with_field(zebra="1"), "field 'x'.zebra", "unknown key; Allowed"),
        (schema_toml_with_field(kind="'multi'", vocabulary="[]"), "field 'x'", "is empty"),
        (schema_toml_with_field(name="'a b'"), "field 'a b'.name", "pattern"),
        (schema_toml_with_field(name="'user_id'"), "field 'user_id'", "reserved"),
        (schema_toml_with_field(name="'clicks'"), "field 'clicks'", "reserved"),
        (schema_toml_with_field(scope="'session'"), "field 'x'", "service's own"),
        (schema_toml_with_field(kind="'id'"), "field 'x'", "service's own"),
        (schema_toml_with_field(scope="'items'"), "field 'x'.scope", "'item'"),
        (schema_toml_with_field(buckets="'quantile:1'"), "field 'x'", "2 <= B <= 256"),
        (schema_toml_with_field(buckets="'quantile:\u00b2'"), "field 'x'", "2 <= B <= 256"),
        (schema_toml_with_field(buckets="'rank_quantile:4'"), "field 'x'", "quantile:B"),
        (schema_toml_with_field(buckets="[]"), "field 'x'", "must be given"),
        (schema_toml_with_field(buckets="[2, 1]"), "field 'x'", "must rise"),
        (schema_toml_with_field(buckets="[1, 1]"), "field 'x'", "must rise"),
        (schema_toml_with_field(buckets="[1, nan, 2]"), "field 'x'", "finite"),
        (schema_toml_with_field(buckets="[0, inf]"), "field 'x'", "finite"),
        (schema_toml_with_field(missing="'none'"), "field 'x'", "'own' or a number"),
        (schema_toml_with_field(missing="nan"), "field 'x'", "'own' or a number"),
        (
            schema_toml_with_field(kind="'categorical'", missing="3"),
            "field 'x'",
            "'own' or a value",
        ),
        (
            schema_toml_with_field(kind="'categorical'", vocabulary="'all'"),
            "field 'x'",
            "'fit' or a list",
        ),
        (schema_toml_with_field(kind="'multi'", vocabulary="['a', 'a']"), "field 'x'", "twice"),
        (schema_toml_with_field(kind="'multi'", max_values="17"), "field 'x'.max_values", "16"),
        (
            schema_toml_with_field() + "\n" + schema_toml_with_field(),
            "schema.toml",
            "'x' is declared twice",
        ),
    ],
)
def test_parse_schema_error_names_field_and_rule(text, field, rule):
    with pytest.raises(SchemaError) as refused:
        parse_schema(text)
    assert refused.value.field.startswith(field)
    assert rule in refused.value.rule


def test_read_schema_unreadable_file_is_named(tmp_path):
    latin = tmp_path / "schema.toml"
    latin.write_bytes(b"# \xff")
    for path in (tmp_path / "nowhere.toml", tmp_path, latin):
        with pytest.raises(SchemaError, match=str(path)):
            read_schema(path)
    latin.write_text(GOOD, encoding="utf-8")
    assert read_schema(latin) == parse_schema(GOOD)


def test_read_schema_byte_order_mark_is_accepted(tmp_path):
    path = tmp_path / "schema.toml"
    path.write_text(GOOD, encoding="utf-8-sig")

    assert read_schema(path) == parse_schema(GOOD)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-32"])
def test_read_schema_other_encoding_names_utf8(tmp_path, encoding):
    path = tmp_path / "schema.toml"
    path.write_text(GOOD.replace("acme", "caf\u00e9"), encoding=encoding)

    with pytest.raises(SchemaError, match=f"{path}: .*not UTF-8 .*save the file as UTF-8"):
        read_schema(path)


def test_read_schema_rule_error_names_file(tmp_path):
    path = tmp_path / "schema.toml"
    path.write_text(schema_toml_with_field(max_value="3"))

    with pytest.raises(SchemaError, match=r"schema\.toml: field 'x'\.max_value: .*'max_values'"):
        read_schema(path)
