"""Rules that name what does not exist, or that no list can meet: the answer names them."""

import numpy as np
import pytest

from model.contract.encoding.encoder import FeatureEncoder
from model.contract.errors import RulesUndecided, RulesUnsatisfiable, ValueRejected
from model.contract.rules.compiler import compile_rules
from model.contract.rules.repair import LONG_WORK_LIMIT
from model.contract.schema.declared import ITEM_ID, FieldKind, FieldScope
from model.contract.schema.fitted import FittedField, FittedSchema, id_field
from model.contract.wire.constraints import Constraints
from tests.model.contract.rules.rule_requests import SLOTS, compile_sample_rules


@pytest.mark.parametrize(
    ("constraints", "field", "says"),
    [
        (
            {"caps": [{"field": "brand", "max": 1}, {"field": "shoe", "max": 1}]},
            "caps[1].field",
            "no field",
        ),
        ({"caps": [{"field": "price", "max": 1}]}, "caps[0].field", "numeric"),
        ({"caps": [{"field": "upstream_score", "max": 1}]}, "caps[0].field", "numeric"),
        ({"caps": [{"field": "item_id", "value": "i0", "max": 1}]}, "caps[0].field", "exclude"),
        ({"caps": [{"field": "color", "max": 1}]}, "caps[0].field", "items or candidates"),
        ({"caps": [{"field": "clicked", "max": 1}]}, "caps[0].field", "no field"),
        ({"caps": [{"field": "brand", "value": "nike", "max": 1}]}, "caps[0].value", "'nike'"),
        (
            {"minimums": [{"field": "tags", "value": "old", "min": 1}]},
            "minimums[0].value",
            "'old' is not a value of 'tags'",
        ),
        ({"minimums": [{"field": "tags", "value": "old", "min": 0}]}, "minimums[0].value", "old"),
        ({"pinned": [{"slot": 0, "item_id": "i9"}]}, "pinned[0].item_id", "no candidate"),
        ({"pinned": [{"slot": 5, "item_id": "i1"}]}, "pinned[0].slot", "beyond"),
    ],
)
def test_compile_rules_unknown_name_is_rejected_with_location(schema, constraints, field, says):
    with pytest.raises(ValueRejected) as caught:
        compile_sample_rules(schema, constraints, ["acme", "bolt"] * 3)
    assert caught.value.field == f"constraints.{field}"
    assert says in caught.value.rule


def conflicting_constraints(schema, constraints, brands, tags=None, *, list_size=SLOTS):
    with pytest.raises(RulesUnsatisfiable) as caught:
        compile_sample_rules(schema, constraints, brands, tags, list_size=list_size)
    return [
        rule.removeprefix("constraints.") for rule in caught.value.constraints
    ], caught.value.reason


def test_compile_rules_conflict_names_minimal_constraints(schema):
    a, b = "acme", "bolt"
    harmless = {"field": "tags", "value": "eco", "max": 3}
    eco = [["eco"]] * 9
    caps = [harmless, {"field": "brand", "max": 2}]
    rules, why = conflicting_constraints(
        schema, {"caps": caps}, [a, b] * 4 + [None], eco, list_size=5
    )
    assert rules == ["caps[0]"]  # nine eco items, three may stand
    assert "3 of 5" in why
    rules, why = conflicting_constraints(schema, {"caps": caps}, [a, b] * 4, [["new"]] * 8)
    assert rules == ["caps[1]"]
    assert "4 of 5" in why


def test_compile_rules_minimum_conflict_names_relevant_exclusion(schema):
    minimum = {"minimums": [{"field": "brand", "value": "bolt", "min": 2}]}
    brands = ["acme"] * 6 + ["bolt"]
    rules, why = conflicting_constraints(schema, minimum | {"exclude": ["i0"]}, brands)
    assert rules == ["minimums[0]"]
    assert "wants 2 items more, 1 candidates are left" in why
    rules, _ = conflicting_constraints(schema, minimum | {"exclude": ["i6"]}, [*brands, "bolt"])
    assert rules == ["minimums[0]", "exclude"]


def test_compile_rules_minimums_exceeding_slots_conflict(schema):
    minimums = [{"field": "brand", "value": v, "min": 3} for v in ("acme", "bolt")]
    rules, why = conflicting_constraints(schema, {"minimums": minimums}, ["acme", "bolt"] * 4)
    assert rules == ["minimums[0]", "minimums[1]"]
    assert "want 6 items, 5 slots" in why


def test_compile_rules_minimum_and_cap_conflict(schema):
    rules, _ = conflicting_constraints(
        schema,
        {
            "minimums": [{"field": "brand", "value": "acme", "min": 2}],
            "caps": [{"field": "tags", "value": "eco", "max": 1}],
        },
        ["acme"] * 3 + ["bolt"] * 6,
        [["eco"]] * 3 + [None] * 6,
    )
    assert rules == ["minimums[0]", "caps[0]"]


def test_compile_rules_pins_over_cap_conflict(schema):
    pins = [{"slot": s, "item_id": f"i{s}"} for s in (0, 2)]
    cap = {"field": "brand", "value": "acme", "max": 1, "window": 3}
    rules, why = conflicting_constraints(
        schema, {"pinned": pins, "caps": [cap]}, ["acme"] * 3 + ["bolt"] * 5
    )
    assert rules == ["caps[0]", "pinned"]
    assert "slots 0-2" in why


def test_compile_rules_too_many_exclusions_conflict(schema):
    rules, why = conflicting_constraints(schema, {"exclude": ["i0", "i1"]}, ["acme"] * 6)
    assert rules == ["exclude"]
    assert why == "4 candidates are left for a list of 5"


def test_compile_rules_window_conflict_proven_by_search(schema):
    # three acme at distance 3 or more need slots 0, 3, 6: a list of 5 has no room, counting per
    # window says 2 of every 3 slots may be bolt, and there are only two bolts
    a, b = "acme", "bolt"
    cap = {"field": "brand", "value": a, "max": 1, "window": 3}
    rules, _ = conflicting_constraints(schema, {"caps": [cap]}, [a, a, a, b, b])
    assert rules == ["caps[0]"]


def hard_request(seed):
    """30 items of one to three of 18 genres, at most one of each: a packing of twelve is rare."""
    rng = np.random.default_rng(seed)
    genres = tuple(f"g{i}" for i in range(18))
    field = FittedField(
        name="genre", scope=FieldScope.ITEM, kind=FieldKind.MULTI, size=18, values=genres, width=3
    )
    schema = FittedSchema(fields=(id_field(ITEM_ID, FieldScope.ITEM, ["x"]), field))
    values = [rng.choice(genres, rng.integers(1, 4), replace=False).tolist() for _ in range(30)]
    rows = FeatureEncoder(schema).encode_items(np.full(30, -1), {"genre": values})
    return schema, rows


def test_compile_rules_work_limit_is_deterministic():
    constraints = Constraints.model_validate({"caps": [{"field": "genre", "max": 1}]})
    schema, rows = hard_request(1)
    tried = []
    for _ in range(2):
        with pytest.raises(RulesUndecided) as caught:
            compile_rules(
                constraints,
                schema=schema,
                item_ids=[f"i{at}" for at in range(30)],
                rows=rows,
                slots=12,
                list_size=12,
            )
        assert caught.value.constraints == ["constraints.caps[0]"]
        tried.append(caught.value.work_done)
    assert tried[0] == tried[1]
    assert (
        LONG_WORK_LIMIT < tried[0] < 2.1 * LONG_WORK_LIMIT
    )  # two long searches, each just over its bound


def test_compile_rules_too_many_rows_is_rejected():
    constraints = Constraints.model_validate(
        {"caps": [{"field": "genre", "max": 1, "window": 2}] * 10}
    )
    schema, rows = hard_request(1)
    with pytest.raises(ValueRejected, match=r"caps\[\d\]: values and windows .* at most 1024"):
        compile_rules(
            constraints,
            schema=schema,
            item_ids=[f"i{at}" for at in range(30)],
            rows=rows,
            slots=12,
            list_size=12,
        )
