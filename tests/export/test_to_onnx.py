"""Weights that are equal are in the file once."""

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from export.to_onnx import deduplicate_initializers

TABLE = np.arange(6, dtype=np.float32).reshape(3, 2)


def test_deduplicate_initializers_merges_equal_and_keeps_others():
    weights = {"a": TABLE, "b": TABLE.copy(), "turned": TABLE.reshape(2, 3), "other": TABLE + 1.0}
    nodes = [
        helper.make_node("Gather", [name, "at"], [f"row_{name}"]) for name in ("a", "b", "other")
    ]
    nodes.append(helper.make_node("Sum", ["row_a", "row_b", "row_other"], ["y"]))
    nodes.append(helper.make_node("Gather", ["turned", "at"], ["z"]))
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("at", TensorProto.INT64, [1])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "yz"],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    opset = [helper.make_opsetid("", 20)]
    model = deduplicate_initializers(helper.make_model(graph, opset_imports=opset, ir_version=9))

    assert [weight.name for weight in model.graph.initializer] == ["a", "turned", "other"]
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    y, z = session.run(None, {"at": np.array([1])})
    assert y.tolist() == [[2 + 2 + 3, 3 + 3 + 4]]
    assert z.tolist() == [[3, 4, 5]]
