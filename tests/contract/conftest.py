import pytest

from model.contract.encode import Encoder
from model.contract.fitted import FittedField, FittedSchema, feedback_fields, id_field
from model.contract.schema import (
    ITEM_ID,
    UPSTREAM_RANK,
    UPSTREAM_RAW_SCORE,
    UPSTREAM_SCORE,
    USER_ID,
    Kind,
    Scope,
)


def categorical(name: str, scope: Scope, *values: str, missing: int = 0, unknown: int = 1):
    return FittedField(
        name=name,
        scope=scope,
        kind=Kind.CATEGORICAL,
        size=len(values),
        values=values,
        missing=missing,
        unknown=unknown,
    )


def numeric(name: str, scope: Scope, *edges: float, missing: int = 0):
    return FittedField(
        name=name,
        scope=scope,
        kind=Kind.NUMERIC,
        size=len(edges) + 1,
        edges=edges,
        missing=missing,
    )


@pytest.fixture(scope="session")
def schema() -> FittedSchema:
    """Every scope and kind; `color` and `age` resolve gaps (and unknowns) to a declared value."""
    return FittedSchema(
        fields=(
            id_field(ITEM_ID, Scope.ITEM, ["i0", "i1", "i2"]),
            categorical("brand", Scope.ITEM, "acme", "bolt"),
            FittedField(
                name="tags",
                scope=Scope.ITEM,
                kind=Kind.MULTI,
                size=3,
                values=("new", "sale", "eco"),
                width=2,
            ),
            numeric("price", Scope.ITEM, 1.0, 2.5, 10.0),
            FittedField(
                name=UPSTREAM_SCORE,
                scope=Scope.CANDIDATE,
                kind=Kind.NUMERIC,
                size=4,
                rank_buckets=4,
            ),
            numeric(UPSTREAM_RANK, Scope.CANDIDATE, 1.0, 2.0, 5.0),
            numeric(UPSTREAM_RAW_SCORE, Scope.CANDIDATE, -1.0, 0.5, 2.0),
            numeric("distance", Scope.CANDIDATE, 0.5, 3.0),
            *feedback_fields(),
            id_field(USER_ID, Scope.USER, ["u0", "u1"]),
            numeric("age", Scope.USER, 18.0, 40.0, missing=3),  # gap = the middle bucket
            categorical("color", Scope.CONTEXT, "red", "blue", missing=3, unknown=2),
        ),
        display={"title": "title"},
    )


@pytest.fixture(scope="session")
def encoder(schema: FittedSchema) -> Encoder:
    return Encoder(schema)
