"""Session options and graph transformations that may be faster; useless ones stay listed.

The defaults of an export are chosen from what `graph_report.py` prints.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnxruntime as ort
from onnxruntime.quantization import QuantType, quantize_dynamic

from export.bench.onnx_profile import single_thread_options

DISABLED_OPTIMIZERS = ("SkipLayerNormFusion",)  # as the service runs them
_Level = ort.GraphOptimizationLevel


@dataclass(frozen=True, slots=True)
class SessionVariant:
    """One way to run a graph: a transformation of the file, and session options."""

    name: str
    disabled_optimizers: Sequence[str] = DISABLED_OPTIMIZERS
    optimization_level: ort.GraphOptimizationLevel | None = None
    transform_model: Callable[[Path], Path | bytes] = Path
    session_entries: Mapping[str, str] | None = None

    def open_session(self, model: Path) -> ort.InferenceSession:
        """A session on one thread."""
        options = single_thread_options(self.optimization_level)
        for key, value in (self.session_entries or {}).items():
            options.add_session_config_entry(key, value)
        return ort.InferenceSession(
            self.transform_model(model),
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=list(self.disabled_optimizers),
        )


def quantize_to_int8(model: Path) -> bytes:
    """Weights of matrix products as int8, activations measured at run time."""
    proto = onnx.load(model)  # with the tables beside it
    del proto.graph.value_info[:]  # its shapes contradict the added nodes
    with tempfile.TemporaryDirectory(prefix="relist-int8-") as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(proto, source)
        logging.disable(logging.WARNING)  # it recommends a pass that the exporter already ran
        quantize_dynamic(
            source, target, op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8
        )
        logging.disable(logging.NOTSET)
        return target.read_bytes()


SESSION_VARIANTS = (
    SessionVariant("as served"),
    SessionVariant("ORT's defaults", disabled_optimizers=()),
    SessionVariant("no optimizer", optimization_level=_Level.ORT_DISABLE_ALL),
    SessionVariant("basic only", optimization_level=_Level.ORT_ENABLE_BASIC),
    SessionVariant("basic and extended", optimization_level=_Level.ORT_ENABLE_EXTENDED),
    *(
        SessionVariant(f"without {name}", disabled_optimizers=(*DISABLED_OPTIMIZERS, name))
        for name in (
            "LayerNormFusion", "MatMulAddFusion", "MatmulTransposeFusion", "MatMulScaleFusion",
            "TransposeOptimizer", "GatherSliceToSplitFusion", "ConstantSharing",
        )
    ),
    SessionVariant("denormals as zero", session_entries={"session.set_denormal_as_zero": "1"}),
    SessionVariant("int8 matrix products", transform_model=quantize_to_int8),
)  # fmt: skip
