import pytest

from model.contract.encoding.encoder import FeatureEncoder
from model.contract.schema.declared import (
    ITEM_ID,
    UPSTREAM_RANK,
    UPSTREAM_RAW_SCORE,
    UPSTREAM_SCORE,
    USER_ID,
    FieldKind,
    FieldScope,
)
from model.contract.schema.fitted import FittedField, FittedSchema, feedback_fields, id_field


def categorical_field(
    name: str, scope: FieldScope, *values: str, missing: int = 0, unknown: int = 1
):
    return FittedField(
        name=name,
        scope=scope,
        kind=FieldKind.CATEGORICAL,
        size=len(values),
        values=values,
        missing=missing,
        unknown=unknown,
    )


def numeric_field(name: str, scope: FieldScope, *edges: float, missing: int = 0):
    return FittedField(
        name=name,
        scope=scope,
        kind=FieldKind.NUMERIC,
        size=len(edges) + 1,
        edges=edges,
        missing=missing,
    )


@pytest.fixture(scope="session")
def schema() -> FittedSchema:
    """Every scope and kind; `color` and `age` resolve gaps (and unknowns) to a declared value."""
    return FittedSchema(
        fields=(
            id_field(ITEM_ID, FieldScope.ITEM, ["i0", "i1", "i2"]),
            categorical_field("brand", FieldScope.ITEM, "acme", "bolt"),
            FittedField(
                name="tags",
                scope=FieldScope.ITEM,
                kind=FieldKind.MULTI,
                size=3,
                values=("new", "sale", "eco"),
                width=2,
            ),
            numeric_field("price", FieldScope.ITEM, 1.0, 2.5, 10.0),
            FittedField(
                name=UPSTREAM_SCORE,
                scope=FieldScope.CANDIDATE,
                kind=FieldKind.NUMERIC,
                size=4,
                rank_buckets=4,
            ),
            numeric_field(UPSTREAM_RANK, FieldScope.CANDIDATE, 1.0, 2.0, 5.0),
            numeric_field(UPSTREAM_RAW_SCORE, FieldScope.CANDIDATE, -1.0, 0.5, 2.0),
            numeric_field("distance", FieldScope.CANDIDATE, 0.5, 3.0),
            *feedback_fields(),
            id_field(USER_ID, FieldScope.USER, ["u0", "u1"]),
            numeric_field("age", FieldScope.USER, 18.0, 40.0, missing=3),  # gap = the middle bucket
            categorical_field("color", FieldScope.CONTEXT, "red", "blue", missing=3, unknown=2),
        ),
        display={"title": "title"},
    )


@pytest.fixture(scope="session")
def encoder(schema: FittedSchema) -> FeatureEncoder:
    return FeatureEncoder(schema)
