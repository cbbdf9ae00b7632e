"""Ways to run a graph that may or may not be faster; what did not help stays in the list.

Not for what an export does by default: that is decided by what `graph_table.py` prints.
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

from export.graph_profile import options_of

TURNED_OFF = ("SkipLayerNormFusion",)  # as the service runs them
_Level = ort.GraphOptimizationLevel


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run a graph: what is done to the file, and how a session is opened."""

    name: str
    disabled: Sequence[str] = TURNED_OFF
    level: ort.GraphOptimizationLevel | None = None
    change: Callable[[Path], Path | bytes] = Path
    entries: Mapping[str, str] | None = None

    def open(self, model: Path) -> ort.InferenceSession:
        """A session on one thread."""
        options = options_of(self.level)
        for key, value in (self.entries or {}).items():
            options.add_session_config_entry(key, value)
        return ort.InferenceSession(
            self.change(model),
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=list(self.disabled),
        )


def int8(model: Path) -> bytes:
    """Weights of matrix products as int8, activations measured at run time."""
    proto = onnx.load(model)  # and the tables beside it
    del proto.graph.value_info[:]  # shapes in it contradict what quantization adds
    with tempfile.TemporaryDirectory(prefix="relist-int8-") as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(proto, source)
        logging.disable(logging.WARNING)  # it advises a pass that the exporter has done already
        quantize_dynamic(
            source, target, op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8
        )
        logging.disable(logging.NOTSET)
        return target.read_bytes()


VARIANTS = (
    Variant("as served"),
    Variant("ORT's defaults", disabled=()),
    Variant("no optimizer", level=_Level.ORT_DISABLE_ALL),
    Variant("basic only", level=_Level.ORT_ENABLE_BASIC),
    Variant("basic and extended", level=_Level.ORT_ENABLE_EXTENDED),
    *(
        Variant(f"without {name}", disabled=(*TURNED_OFF, name))
        for name in (
            "LayerNormFusion", "MatMulAddFusion", "MatmulTransposeFusion", "MatMulScaleFusion",
            "TransposeOptimizer", "GatherSliceToSplitFusion", "ConstantSharing",
        )
    ),
    Variant("denormals as zero", entries={"session.set_denormal_as_zero": "1"}),
    Variant("int8 matrix products", change=int8),
)  # fmt: skip
