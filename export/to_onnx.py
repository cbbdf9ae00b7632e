"""Exports one graph to one ONNX file with torch.onnx (dynamo). Comparison is in `parity.py`."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnxscript import optimizer
from torch import Tensor
from torch.export import Dim

from export.external_weights import ExternalWeights
from export.graph_modules import DYNAMIC_AXES, TENSOR_AXES, GraphSpec
from model.contract.artifact import manifest

OPSET = 20
_ANY = 2**31 - 1
_LIMITS = {"B": 4096, "N": 4096, "K": 1024, "R": 1024, "L": 65536, "H": 4096}


def export_graph(
    spec: GraphSpec, examples: dict[str, Tensor], path: Path, external_weights: ExternalWeights
) -> manifest.GraphEntry:
    """Trace, write and describe one graph.

    Args:
        spec: what to export.
        examples: one tensor per input; every dynamic axis at least 2 long.
        path: file to write.
        external_weights: receives the graph's lookup tables; in the same folder.

    Returns:
        The graph's entry in the manifest.
    """
    axes = {letter: Dim(letter, min=1, max=_LIMITS[letter]) for letter in sorted(DYNAMIC_AXES)}
    shapes = {
        name: {at: axes[a] for at, a in enumerate(TENSOR_AXES[name]) if a in DYNAMIC_AXES}
        for name in spec.input_names
    }
    with warnings.catch_warnings(), _ExporterWarningsOff():
        warnings.simplefilter("ignore")  # the exporter warns about its own internals
        program = torch.onnx.export(
            spec.module.eval(),
            kwargs={name: examples[name] for name in spec.input_names},
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=list(spec.input_names),
            output_names=list(spec.output_names),
            opset_version=OPSET,
            optimize=False,
            verbose=False,
        )
    if program is None:
        raise RuntimeError(f"torch.onnx gave nothing for {spec.name}")
    # Fold everything that depends on weights alone, of any size.
    optimizer.optimize(program.model, input_size_limit=_ANY, output_size_limit=_ANY)
    model = deduplicate_initializers(program.model_proto)
    onnx.checker.check_model(model)
    taken = external_weights.move_from(model)
    path.write_bytes(model.SerializeToString())
    return graph_manifest_entry(path, model, taken)


def deduplicate_initializers(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace equal initializers by one: the exporter writes a table once per lookup."""
    graph = model.graph
    names: dict[tuple[object, ...], str] = {}
    instead, kept = {}, []
    for weight in graph.initializer:
        values = onnx.numpy_helper.to_array(weight).tobytes()
        name = names.setdefault((weight.data_type, tuple(weight.dims), values), weight.name)
        instead[weight.name] = name
        if name == weight.name:
            kept.append(weight)
    for node in graph.node:
        node.input[:] = [instead.get(name, name) for name in node.input]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return model


def graph_manifest_entry(
    path: Path, model: onnx.ModelProto, tables: list[manifest.ExternalWeightEntry]
) -> manifest.GraphEntry:
    """Read names, types and shapes from an ONNX graph."""
    return manifest.GraphEntry(
        file=path.name,
        inputs=[_tensor(value) for value in model.graph.input],
        outputs=[_tensor(value) for value in model.graph.output],
        nodes=len(model.graph.node),
        tables=tables,
    )


def _tensor(value: onnx.ValueInfoProto) -> manifest.TensorEntry:
    kind = value.type.tensor_type
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)).name
    shape: list[int | str] = [d.dim_param or int(d.dim_value) for d in kind.shape.dim]
    return manifest.TensorEntry(name=value.name, dtype=dtype, shape=shape)


class _ExporterWarningsOff:
    """Context that keeps only errors of the exporter's log."""

    def __enter__(self) -> None:
        self._level = logging.root.manager.disable
        logging.disable(logging.WARNING)

    def __exit__(self, *_: object) -> None:
        logging.disable(self._level)
