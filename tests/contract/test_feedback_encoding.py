import numpy as np

from model.contract.encode import Encoder
from model.contract.fitted import FittedSchema, feedback_fields, id_field
from model.contract.schema import CLICKED, CONVERTED, ITEM_ID, Scope


def test_feedback_held_as_int8_reaches_rows_far_beyond_int8():
    many = id_field(ITEM_ID, Scope.ITEM, [f"i{i}" for i in range(1_000)])
    encoder = Encoder(FittedSchema(fields=(many, *feedback_fields())))
    clicked, converted = (encoder.schema.first_row[name] for name in (CLICKED, CONVERTED))

    rows = encoder.encode_feedback(
        np.array([[0, 1], [1, 1]], dtype=np.int8), np.array([[0, 1], [-1, 0]], dtype=np.int8)
    )

    # a block is missing, unknown, "0", "1"; -1 is missing
    expected = [
        [[clicked + 2, converted + 2], [clicked + 3, converted + 3]],
        [[clicked + 3, converted + 0], [clicked + 3, converted + 2]],
    ]
    assert clicked > 127
    assert rows.tolist() == expected
    assert rows.dtype == np.int32
