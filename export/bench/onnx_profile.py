"""Executed nodes, arithmetic and time of an ONNX graph, from profiled runs.

ONNX Runtime's profile lists the executed nodes with their shapes; they differ from the file's,
because the runtime folds and fuses nodes first. Knows nothing of requests.
"""

from __future__ import annotations

import json
import math
import statistics
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime as ort

from export.golden import NamedArrays

# one multiplication and one addition per element of the inner axis
_PRODUCTS = frozenset({"MatMul", "FusedMatMul", "Gemm", "FusedGemm", "MatMulInteger"})
_PRODUCTS |= {"DynamicQuantizeMatMul", "MatMulIntegerToFloat", "Conv"}
# move or describe values without arithmetic
_MOVES = frozenset(
    {
        "Cast", "Concat", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "Identity",
        "Pad", "Reshape", "ScatterElements", "ScatterND", "Shape", "Size", "Slice", "Split",
        "Squeeze", "Tile", "Transpose", "Unsqueeze", "Constant", "ConstantOfShape", "Range",
    }
)  # fmt: skip
_RUNS = 20


@dataclass(frozen=True, slots=True)
class GraphProfile:
    """A profiled run of one graph.

    mflop: 2mnk for matrix products, one per element for every other node that computes.
    op_microseconds: kernel time by type of node; profiling slows a run, so only shares count.
    """

    node_count: int
    op_counts: Counter[str]
    mflop: float
    op_microseconds: Counter[str]


def profile_graph(
    model: Path | bytes,
    feeds: NamedArrays,
    *,
    disabled_optimizers: Sequence[str] = (),
    optimization_level: ort.GraphOptimizationLevel | None = None,
) -> GraphProfile:
    """Run a graph under the profiler; a node's time is the median of its runs."""
    with tempfile.TemporaryDirectory(prefix="relist-profile-") as folder:
        options = single_thread_options(optimization_level)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "run")
        session = ort.InferenceSession(
            model,
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=list(disabled_optimizers),
        )
        names = [value.name for value in session.get_inputs()]
        for _ in range(_RUNS):
            session.run(None, {name: feeds[name] for name in names})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    kernels = [e for e in events if e.get("name", "").endswith("_kernel_time")]
    nodes = len(kernels) // _RUNS
    last = [event["args"] for event in kernels[-nodes:]]
    spent: Counter[str] = Counter()
    for at, args in enumerate(last):  # every run goes through the nodes in the same order
        spent[args["op_name"]] += int(statistics.median(e["dur"] for e in kernels[at::nodes]))
    return GraphProfile(
        node_count=nodes,
        op_counts=Counter(args["op_name"] for args in last),
        mflop=sum(_flop(args) for args in last) / 1e6,
        op_microseconds=spent,
    )


def single_thread_options(
    optimization_level: ort.GraphOptimizationLevel | None = None,
) -> ort.SessionOptions:
    """Options for one thread, as in the service; `optimization_level` None is the default."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if optimization_level is not None:
        options.graph_optimization_level = optimization_level
    return options


def _flop(args: Mapping[str, Any]) -> float:
    """Floating-point operations of one node, from its executed shapes."""
    kind = args["op_name"]
    if kind in _MOVES:
        return 0.0
    outs, ins = _shapes(args["output_type_shape"]), _shapes(args["input_type_shape"])
    elements = float(math.prod(outs[0])) if outs else 0.0
    if kind not in _PRODUCTS or len(ins[0]) < 1:
        return elements
    left, out = ins[0], outs[0]
    # A transposed left factor (FusedMatMul, Gemm) has its inner axis in the last place but one.
    plain = len(left) < 2 or len(out) < 2 or left[-2] == out[-2]
    return 2.0 * elements * (left[-1] if plain else left[-2])


def _shapes(found: Sequence[Mapping[str, list[int]]]) -> list[list[int]]:
    return [shape for tensor in found for shape in tensor.values()]
