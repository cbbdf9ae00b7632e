import numpy as np

from model.contract.encoding.encoder import FeatureEncoder
from model.contract.schema.declared import CLICKED, CONVERTED, ITEM_ID, FieldScope
from model.contract.schema.fitted import FittedSchema, feedback_fields, id_field


def test_encode_feedback_int8_input_does_not_overflow():
    many = id_field(ITEM_ID, FieldScope.ITEM, [f"i{i}" for i in range(1_000)])
    encoder = FeatureEncoder(FittedSchema(fields=(many, *feedback_fields())))
    clicked, converted = (encoder.schema.block_starts[name] for name in (CLICKED, CONVERTED))

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
