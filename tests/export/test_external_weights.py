"""Tables that are only looked up stand in one file, once, and the graphs answer as before."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.external_weights import PAGE_BYTES, ExternalWeights

TABLE_WIDTH = 8
TABLE_LENGTH = PAGE_BYTES // (4 * TABLE_WIDTH) + 1  # a row more than a page holds
LARGE = np.arange(TABLE_LENGTH * TABLE_WIDTH, dtype=np.float32).reshape(TABLE_LENGTH, TABLE_WIDTH)
SMALL = LARGE[: TABLE_LENGTH - 2]
ROW_INDICES = np.array([1, TABLE_LENGTH - 3])


def gather_model(tables: dict[str, np.ndarray], *more: onnx.NodeProto) -> onnx.ModelProto:
    """y: rows `at` of all tables, summed."""
    rows = [f"row_{name}" for name in tables]
    nodes = [
        helper.make_node("Gather", [name, "at"], [row])
        for name, row in zip(tables, rows, strict=True)
    ]
    nodes += [helper.make_node("Sum", rows, ["y"]), *more]
    names = ["y", *(out for node in more for out in node.output)]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("at", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names],
        [numpy_helper.from_array(value, name) for name, value in tables.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def run_model(path: Path) -> np.ndarray:
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(
        ["y"], {"at": ROW_INDICES}
    )[0]


def test_external_weights_shared_table_is_written_once(tmp_path):
    file = ExternalWeights(tmp_path / "weights.bin")
    models = {
        "one": gather_model({"a": LARGE, "b": LARGE + 1}),
        "two": gather_model({"c": LARGE + 2, "d": LARGE.copy()}),
    }
    taken = {}
    for name, model in models.items():
        taken[name] = {table.name: table for table in file.move_from(model)}
        (tmp_path / f"{name}.onnx").write_bytes(model.SerializeToString())

    offsets = {name: t.offset for tables in taken.values() for name, t in tables.items()}
    # LARGE takes two pages, the second not to its end
    assert offsets == {"a": 0, "b": 2 * PAGE_BYTES, "c": 4 * PAGE_BYTES, "d": 0}
    content = (tmp_path / "weights.bin").read_bytes()
    assert len(content) == 4 * PAGE_BYTES + LARGE.nbytes
    for name, values in {"a": LARGE, "b": LARGE + 1}.items():
        table = taken["one"][name]
        held = np.frombuffer(content, table.dtype, values.size, table.offset)
        assert (held.reshape(table.shape) == values).all()
    assert (run_model(tmp_path / "one.onnx") == (LARGE + LARGE + 1)[ROW_INDICES]).all()
    assert (run_model(tmp_path / "two.onnx") == (LARGE + 2 + LARGE)[ROW_INDICES]).all()
    assert all(len(model.SerializeToString()) < PAGE_BYTES for model in models.values())


def test_external_weights_small_table_stays_inline(tmp_path):
    assert SMALL.nbytes < PAGE_BYTES
    model = gather_model({"small": SMALL, "large": LARGE})

    assert [t.name for t in ExternalWeights(tmp_path / "weights.bin").move_from(model)] == ["large"]
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert (run_model(tmp_path / "m.onnx") == (SMALL[ROW_INDICES] + LARGE[ROW_INDICES])).all()


@pytest.mark.parametrize(
    "reader",
    [
        helper.make_node("MatMul", ["row_large", "large"], ["z"]),
        helper.make_node("Gather", ["row_large", "large"], ["z"]),
    ],
)
def test_external_weights_table_with_other_reader_stays_inline(tmp_path, reader):
    model = gather_model({"large": LARGE}, reader)

    assert ExternalWeights(tmp_path / "weights.bin").move_from(model) == []
    assert not (tmp_path / "weights.bin").exists()
    assert numpy_helper.to_array(model.graph.initializer[0]).tolist() == LARGE.tolist()
