"""What is told of a graph: nodes that run, arithmetic by shapes, and the variants beside it."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from export.bench.graph_report import main
from export.bench.onnx_profile import profile_graph
from export.bench.session_variants import SESSION_VARIANTS
from tests.tiny_artifact import NET_CONFIGS, tiny_artifact

A, B, C = 3, 5, 7


def two_node_model(*, transposed: bool) -> bytes:
    """(A, B) x (B, C) and a difference; the left factor may come as (B, A) and be turned first."""
    left = (B, A) if transposed else (A, B)
    nodes = [helper.make_node("Transpose", ["x"], ["turned"], perm=[1, 0])] if transposed else []
    nodes += [
        helper.make_node("MatMul", ["turned" if transposed else "x", "w"], ["product"]),
        helper.make_node("Sub", ["product", "b"], ["y"]),
    ]
    floats = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "small",
        [
            helper.make_tensor_value_info("x", floats, left),
            helper.make_tensor_value_info("w", floats, (B, C)),
            helper.make_tensor_value_info("b", floats, (A, C)),
        ],
        [helper.make_tensor_value_info("y", floats, (A, C))],
    )
    opset = [helper.make_opsetid("", 20)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.mark.parametrize("transposed", [False, True])
def test_profile_graph_counts_flops_of_matmul_and_sub(
    transposed,
):
    shape = (B, A) if transposed else (A, B)
    feeds = {
        "x": np.ones(shape, dtype=np.float32),
        "w": np.ones((B, C), dtype=np.float32),
        "b": np.ones((A, C), dtype=np.float32),
    }

    found = profile_graph(two_node_model(transposed=transposed), feeds)

    assert found.node_count == 2  # the runtime puts a transpose into the product
    assert found.mflop * 1e6 == pytest.approx(2 * A * B * C + A * C)
    assert found.op_counts["Sub"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(NET_CONFIGS))
def test_graph_report_lists_every_graph_and_variant(kind, tmp_path, capsys):
    folder = tiny_artifact(tmp_path, kind)

    assert main(["--artifact", str(folder), "--candidates", "15", "--rounds", "4"]) == 0

    told = capsys.readouterr().out
    assert told.startswith("N 15, K 8, M 4")
    for name in ("generator", "generator_rules", "evaluator", *(v.name for v in SESSION_VARIANTS)):
        assert f"| {name} |" in told
    rows = [line.split("|") for line in told.splitlines() if line.startswith("| as served")]
    assert rows[0][4].strip() == "1.00"
    same, _, compared = rows[0][8].strip().partition(" of ")
    assert same == compared
    assert int(compared) > 30
