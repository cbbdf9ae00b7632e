"""Tables that are only looked up stand in one file, once, and the graphs answer as before."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.tables import PAGE, TablesFile

WIDTH = 8
ROWS = PAGE // (4 * WIDTH) + 1  # a row more than a page holds
LARGE = np.arange(ROWS * WIDTH, dtype=np.float32).reshape(ROWS, WIDTH)
SMALL = LARGE[: ROWS - 2]
AT = np.array([1, ROWS - 3])


def looked_up(tables: dict[str, np.ndarray], *more: onnx.NodeProto) -> onnx.ModelProto:
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


def run(path: Path) -> np.ndarray:
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(["y"], {"at": AT})[0]


def test_a_table_of_two_graphs_is_written_once_and_every_table_begins_at_a_page(tmp_path):
    file = TablesFile(tmp_path / "weights.bin")
    models = {
        "one": looked_up({"a": LARGE, "b": LARGE + 1}),
        "two": looked_up({"c": LARGE + 2, "d": LARGE.copy()}),
    }
    taken = {}
    for name, model in models.items():
        taken[name] = {table.name: table for table in file.take(model)}
        (tmp_path / f"{name}.onnx").write_bytes(model.SerializeToString())

    offsets = {name: t.offset for tables in taken.values() for name, t in tables.items()}
    # LARGE takes two pages, the second not to its end
    assert offsets == {"a": 0, "b": 2 * PAGE, "c": 4 * PAGE, "d": 0}
    content = (tmp_path / "weights.bin").read_bytes()
    assert len(content) == 4 * PAGE + LARGE.nbytes
    for name, values in {"a": LARGE, "b": LARGE + 1}.items():
        table = taken["one"][name]
        held = np.frombuffer(content, table.dtype, values.size, table.offset)
        assert (held.reshape(table.shape) == values).all()
    assert (run(tmp_path / "one.onnx") == (LARGE + LARGE + 1)[AT]).all()
    assert (run(tmp_path / "two.onnx") == (LARGE + 2 + LARGE)[AT]).all()
    assert all(len(model.SerializeToString()) < PAGE for model in models.values())


def test_what_is_smaller_than_a_page_stays_in_its_graph(tmp_path):
    assert SMALL.nbytes < PAGE
    model = looked_up({"small": SMALL, "large": LARGE})

    assert [t.name for t in TablesFile(tmp_path / "weights.bin").take(model)] == ["large"]
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert (run(tmp_path / "m.onnx") == (SMALL[AT] + LARGE[AT])).all()


@pytest.mark.parametrize(
    "reader",
    [
        helper.make_node("MatMul", ["row_large", "large"], ["z"]),
        helper.make_node("Gather", ["row_large", "large"], ["z"]),
    ],
)
def test_what_something_else_reads_too_stays_in_its_graph(tmp_path, reader):
    model = looked_up({"large": LARGE}, reader)

    assert TablesFile(tmp_path / "weights.bin").take(model) == []
    assert not (tmp_path / "weights.bin").exists()
    assert numpy_helper.to_array(model.graph.initializer[0]).tolist() == LARGE.tolist()
