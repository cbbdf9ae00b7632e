"""The tables that an artifact's graphs look up, mapped from its file instead of read into memory.

One mapping serves all graphs of a process, and processes that map the same file share its pages;
only rows that requests ask for become resident. An artifact's folder is written once and never
again: the file may be moved, replaced by another or deleted under a mapping, which keeps what it
had; it must not be written into, which is why publishing takes away its write permission.
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


class MappedTables:
    """Values that sessions read in place; they have to outlive the sessions that got them."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder = folder
        named = any(graph.tables for graph in manifest.graphs.values())
        self._bytes: NDArray[np.uint8] = np.empty(0, dtype=np.uint8)
        if not named:
            return
        try:
            self._bytes = np.memmap(folder / EXTERNAL_WEIGHTS_FILE, mode="r")
        except (OSError, ValueError) as error:  # ValueError: an empty file
            raise self._refused(f"{EXTERNAL_WEIGHTS_FILE} cannot be mapped: {error}") from error

    def values(self, tables: Iterable[ExternalWeightEntry]) -> dict[str, ort.OrtValue]:
        """Name -> value over the mapped bytes; raises ManifestError beyond the file's end."""
        return {table.name: self._value(table) for table in tables}

    def _value(self, table: ExternalWeightEntry) -> ort.OrtValue:
        try:
            dtype = np.dtype(table.dtype)
            end = table.offset + math.prod(table.shape) * dtype.itemsize
            held = self._bytes[table.offset : end].view(dtype).reshape(table.shape)
        except (TypeError, ValueError) as error:
            why = f"table {table.name} is not in {EXTERNAL_WEIGHTS_FILE} ({len(self._bytes)} bytes): {error}"
            raise self._refused(why) from error
        return ort.OrtValue.ortvalue_from_numpy(held)

    def _refused(self, what: str) -> ManifestError:
        return ManifestError(artifact=str(self._folder), reason=what)
