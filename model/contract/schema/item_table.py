"""The item table of a process: item id -> encoded row, raw numbers for objectives, display texts.

Sessions in the store name items by a 64-bit key, so a record stays readable when the table is
refreshed. Knows neither Redis nor ONNX.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from model.contract.errors import ManifestError
from model.contract.schema.fitted import EmbeddingIndices

UNKNOWN_ITEM_INDEX = -1
_IDS, _DISPLAY, _NUMBER, _ENDS = "ids", "display_", "number_", "ends_"
_UNREADABLE = (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error)


def item_key(item_id: str) -> int:
    """64-bit key of an item id (BLAKE2b), equal on every machine."""
    return int.from_bytes(hashlib.blake2b(item_id.encode(), digest_size=8).digest(), "little")


def item_keys(ids: Iterable[str]) -> NDArray[np.uint64]:
    """(n,) keys of many ids."""
    return np.fromiter((item_key(i) for i in ids), dtype=np.uint64)


@dataclass(frozen=True, eq=False)
class ItemTable:
    """All items of one artifact or of one refresh; immutable, because a refresh swaps the table.

    ids: n item ids.
    rows: (n, Fi) int32, encoded item-scope fields.
    default_row: (Fi,) int32, the row of an unknown item.
    numbers: numeric item field -> (n,) float32 raw values, NaN for a gap (objective, rules).
    display: role (`title`) -> n texts.
    """

    ids: Sequence[str]
    rows: EmbeddingIndices
    default_row: EmbeddingIndices
    numbers: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    display: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.index_by_id) != len(self.ids):
            raise ValueError("an item id stands twice in the item table")
        if len(np.unique(self.sorted_keys[0])) != len(self.ids):
            raise ValueError("two item ids share a 64-bit key")
        columns = {"rows": self.rows, **self.numbers, **self.display}
        uneven = [name for name, column in columns.items() if len(column) != len(self.ids)]
        if uneven:
            raise ValueError(f"{uneven[0]} does not hold one entry for each of the ids")

    @cached_property
    def index_by_id(self) -> dict[str, int]:
        """Item id -> row index in the table."""
        return {item_id: i for i, item_id in enumerate(self.ids)}

    @cached_property
    def sorted_keys(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Keys in ascending order, and the row index of each."""
        keys = item_keys(self.ids)
        order = np.argsort(keys, kind="stable").astype(np.int64)
        return keys[order], order

    @cached_property
    def rows_with_default(self) -> EmbeddingIndices:
        """(n + 1, Fi): the table with the default row last, so that index -1 is the default."""
        padded = np.concatenate([self.rows, self.default_row[None]], axis=0)
        object.__setattr__(self, "rows", padded[:-1])  # the same rows, in memory once
        return padded

    def row_indices(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """(n,) row indices of these ids, -1 for an unknown one."""
        found = map(self.index_by_id.get, ids, repeat(UNKNOWN_ITEM_INDEX))
        return np.fromiter(found, dtype=np.int64, count=len(ids))

    def row_indices_of_keys(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Row indices of these 64-bit keys (any shape), -1 for an unknown one."""
        if not len(self.ids):
            return np.full(keys.shape, UNKNOWN_ITEM_INDEX, dtype=np.int64)
        ascending, places = self.sorted_keys
        at = ascending.searchsorted(keys)
        found = ascending.take(at, mode="clip") == keys
        return np.where(found, places.take(at, mode="clip"), UNKNOWN_ITEM_INDEX)

    def write(self, path: Path) -> None:
        """Write as .npz without pickles."""
        arrays: dict[str, NDArray[Any]] = {"rows": self.rows, "default_row": self.default_row}
        arrays |= {_NUMBER + name: column for name, column in self.numbers.items()}
        arrays |= _pack_texts(_IDS, self.ids)
        for role, texts in self.display.items():
            arrays |= _pack_texts(_DISPLAY + role, texts)
        np.savez_compressed(path, allow_pickle=False, **arrays)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote; raises ManifestError when the file is not such a table."""
        try:
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                held = {name: file[name] for name in file.files}
            return cls(
                ids=_unpack_texts(held, _IDS),
                rows=held["rows"],
                default_row=held["default_row"],
                numbers={
                    k.removeprefix(_NUMBER): v for k, v in held.items() if k.startswith(_NUMBER)
                },
                display={
                    k.removeprefix(_DISPLAY): _unpack_texts(held, k)
                    for k in held
                    if k.startswith(_DISPLAY)
                },
            )
        except _UNREADABLE as error:
            raise ManifestError(
                artifact=str(path.parent), reason=f"{path.name} cannot be read: {error}"
            ) from error


def _pack_texts(name: str, texts: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Concatenated UTF-8 bytes and the end offset of each text, so memory is the sum of lengths."""
    encoded = [text.encode() for text in texts]
    return {
        name: np.frombuffer(b"".join(encoded), dtype=np.uint8),
        _ENDS + name: np.cumsum([len(e) for e in encoded], dtype=np.int64),
    }


def _unpack_texts(held: Mapping[str, NDArray[Any]], name: str) -> list[str]:
    blob, ends = held[name].tobytes(), held[_ENDS + name].tolist()
    return [blob[a:b].decode() for a, b in zip([0, *ends], ends, strict=False)]
