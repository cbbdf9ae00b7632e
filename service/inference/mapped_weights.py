"""Memory-maps the embedding weights of an artifact's graphs, instead of reading them into memory.

One mapping serves all graphs of a process, and processes that map the same file share its pages.
Only rows that requests look up become resident. An artifact's folder is immutable: its file may be
moved, replaced or deleted while mapped, but not written to. Publishing makes it read-only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from model.contract.artifact.manifest import EXTERNAL_WEIGHTS_FILE, ExternalWeightEntry, Manifest
from model.contract.errors import ManifestError


class MemoryMappedWeights:
    """Weights that sessions read in place. The mapping has to outlive those sessions."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder = folder
        self._bytes: NDArray[np.uint8] = np.empty(0, dtype=np.uint8)
        if not any(graph.tables for graph in manifest.graphs.values()):
            return
        try:
            self._bytes = np.memmap(folder / EXTERNAL_WEIGHTS_FILE, mode="r")
        except (OSError, ValueError) as error:  # ValueError: an empty file
            raise self._error(f"{EXTERNAL_WEIGHTS_FILE} cannot be mapped: {error}") from error

    def values(self, tables: Iterable[ExternalWeightEntry]) -> dict[str, ort.OrtValue]:
        """Name -> value over the mapped bytes; raises ManifestError beyond the file's end."""
        return {table.name: self._value(table) for table in tables}

    def _value(self, table: ExternalWeightEntry) -> ort.OrtValue:
        try:
            dtype = np.dtype(table.dtype)
            end = table.offset + math.prod(table.shape) * dtype.itemsize
            weights = self._bytes[table.offset : end].view(dtype).reshape(table.shape)
        except (TypeError, ValueError) as error:
            size = f"{EXTERNAL_WEIGHTS_FILE} ({len(self._bytes)} bytes)"
            what = f"table {table.name} is not in {size}: {error}"
            raise self._error(what) from error
        return ort.OrtValue.ortvalue_from_numpy(weights)

    def _error(self, what: str) -> ManifestError:
        return ManifestError(artifact=str(self._folder), reason=what)
