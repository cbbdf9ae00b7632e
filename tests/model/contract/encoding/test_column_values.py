"""Values of a type that a field does not take: refused by name, never guessed at."""

import numpy as np
import pytest

from model.contract.errors import ValueRejected

REJECTED = [
    ("price", ["3"]),
    ("price", [1.0, True]),
    ("price", [np.True_]),
    ("price", [[1.0]]),
    ("price", [{}]),
    ("price", [1 + 2j]),
    ("price", [10**400]),
    ("price", np.array(["3"])),
    ("price", np.array([True, False])),
    ("price", np.array(["2020-01-01"], dtype="datetime64[D]")),
    ("price", np.array([1.0, "3"], dtype=object)),
    ("brand", ["acme", 3]),
    ("brand", [True]),
    ("brand", [float("nan")]),
    ("brand", [["acme"]]),
    ("brand", [{}]),
    ("brand", [b"acme"]),
    ("brand", np.array([1, 2])),
    ("tags", ["new"]),
    ("tags", [""]),
    ("tags", [["new"], 3]),
    ("tags", [{"new": 1}]),
    ("tags", [{"new"}]),
    ("tags", [["new", 3]]),
    ("tags", [["new", None]]),
    ("tags", [["new", "sale", 3]]),  # beyond the width: still wrong
    ("tags", [[["new"]]]),
    ("tags", [b"new"]),
]


@pytest.mark.parametrize(("name", "values"), REJECTED)
def test_encode_field_wrong_type_names_field(encoder, name, values):
    with pytest.raises(ValueRejected, match=f"^{name}: takes") as refused:
        encoder.encode_field(name, values)
    assert refused.value.field == name
    assert refused.value.code == "value_rejected"


@pytest.mark.parametrize("column", [[1.0], [1.0, 2.0, 3.0, 4.0], []])
def test_encode_items_wrong_column_length_is_rejected(encoder, column):
    valid = np.array([True, True, True, False])

    with pytest.raises(ValueRejected, match=f"^distance: {len(column)} values, 3 expected"):
        encoder.encode_candidate_scope(None, valid, {"distance": column})
    with pytest.raises(ValueRejected, match=f"^price: {len(column)} values, 2 expected"):
        encoder.encode_items(np.array([0, 1]), {"price": column})
