"""Moves tables that graphs look up into one file beside them, `weights.bin` (ONNX external data).

ONNX Runtime copies the initializers of a graph's own file in every session of every process, most
of them twice. Lookup tables need no copy: the service maps this file, and all graphs and processes
share its pages. Weights of matrix products stay in their graph, because the runtime repacks them
for each session anyway.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx
from onnx import TensorProto

from model.contract.artifact.manifest import ExternalWeightEntry

PAGE_BYTES = 4096  # alignment of tables; smaller ones stay in their graph
_LOOK_UP = "Gather"


class ExternalWeights:
    """The weights file, written by one graph after the other; equal bytes are stored once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written: dict[bytes, int] = {}  # digest -> offset

    def move_from(self, model: onnx.ModelProto) -> list[ExternalWeightEntry]:
        """Move a graph's lookup tables here; the graph keeps names, shapes and offsets."""
        taken = []
        for weight in model.graph.initializer:
            if not _only_looked_up(model.graph, weight.name):
                continue
            values = onnx.numpy_helper.to_array(weight)
            if values.nbytes < PAGE_BYTES:
                continue
            offset = self._append_once(values.tobytes())
            taken.append(
                ExternalWeightEntry(
                    name=weight.name,
                    dtype=values.dtype.name,
                    shape=list(values.shape),
                    offset=offset,
                )
            )
            self._set_external_data(weight, offset, values.nbytes)
        return taken

    def _append_once(self, content: bytes) -> int:
        digest = hashlib.sha256(content).digest()
        if digest not in self._written:
            with self._path.open("ab") as file:
                file.write(bytes(-file.tell() % PAGE_BYTES))
                self._written[digest] = file.tell()
                file.write(content)
        return self._written[digest]

    def _set_external_data(self, weight: TensorProto, offset: int, length: int) -> None:
        here = TensorProto(name=weight.name, data_type=weight.data_type, dims=weight.dims)
        weight.CopyFrom(here)
        weight.data_location = TensorProto.EXTERNAL
        places = {"location": self._path.name, "offset": str(offset), "length": str(length)}
        for key, value in places.items():
            entry = weight.external_data.add()
            entry.key, entry.value = key, value


def _only_looked_up(graph: onnx.GraphProto, name: str) -> bool:
    readers = [node for node in graph.node if name in node.input]
    return bool(readers) and all(
        node.op_type == _LOOK_UP and node.input[0] == name and node.input[1] != name
        for node in readers
    )
