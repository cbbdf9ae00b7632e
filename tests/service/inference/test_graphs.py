"""All sessions of a process allocate from one arena."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from service.inference.graphs import open_session

SIDE = 3_000
ONE_MB = 4 * SIDE * SIDE / 2**20  # of an intermediate value: 34 MB


def anonymous_mb() -> float:
    """Anonymous memory of this process, without mapped files."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    [line] = [line for line in lines if line.startswith("Anonymous:")]
    return int(line.split()[1]) / 1024


def summed_table() -> bytes:
    """A graph of y = sum over a and b of |x_a * x_b|, which computes the whole table."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["turned"], perm=[1, 0]),
        helper.make_node("Mul", ["x", "turned"], ["table"]),
        helper.make_node("ReduceL1", ["table"], ["y"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, "n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return model.SerializeToString()


def test_sessions_share_the_memory_of_their_runs():
    x = np.ones((1, SIDE), dtype=np.float32)
    grown, sessions = [], []
    for _ in range(3):
        before = anonymous_mb()
        sessions.append(open_session(summed_table()))
        (y,) = sessions[-1].run(["y"], {"x": x})
        grown.append(anonymous_mb() - before)
        assert y == SIDE * SIDE

    # the first run may reuse another test's memory; later ones allocate no table of their own
    assert max(grown[1:]) < 0.5 * ONE_MB
