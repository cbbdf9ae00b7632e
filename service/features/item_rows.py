"""Item table <-> the hash of encoded rows in Redis (item id -> little-endian int32 row).

Pure conversion and checks; reading and waiting is `item_refresh.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.contract.fitted import PADDING_ROW, FittedSchema, columns, spans
from model.contract.items import ItemTable
from model.contract.schema import Scope

_LITTLE = "<i4"


class RowsRefusedError(ValueError):
    """The hash does not hold rows of this schema; says which item and why."""


def content_digest(table: ItemTable) -> str:
    """Sixteen hex digits of what the hash of this table would hold."""
    digest = hashlib.sha256()
    for item_id, row in hash_fields(table):
        digest.update(len(item_id).to_bytes(4, "little") + item_id + row)
    return digest.hexdigest()[:16]


def hash_fields(table: ItemTable) -> Iterator[tuple[bytes, bytes]]:
    """(id, row) pairs as the hash holds them."""
    rows = np.ascontiguousarray(table.rows.astype(_LITTLE))
    for item_id, row in zip(table.ids, rows, strict=True):
        yield item_id.encode(), row.tobytes()


def build_table(rows: Mapping[bytes, bytes], schema: FittedSchema, base: ItemTable) -> ItemTable:
    """The table of these rows, ready to serve.

    Raw numbers and display texts are not part of the hash: an item keeps what the artifact knows of
    it; one that the artifact does not know has none.

    Raises:
        RowsRefusedError: a row of another width, or outside its field's block of the embedding
            table, which the graphs would read beyond their weights; ids that are no text.
    """
    ids = sorted(rows)
    width = columns(schema.of(Scope.ITEM))
    wrong = next((i for i in ids if len(rows[i]) != 4 * width), None)
    if wrong is not None:
        raise RowsRefusedError(f"{wrong!r}: {len(rows[wrong])} bytes, not {4 * width}")
    packed = b"".join(rows[i] for i in ids)
    encoded = np.frombuffer(packed, dtype=_LITTLE).reshape(len(ids), width).astype(np.int32)
    _require_blocks(ids, encoded, schema)
    try:
        names = [i.decode() for i in ids]
        return _ready(names, encoded, base)
    except ValueError as error:  # an id that is not UTF-8, or two ids with one key
        raise RowsRefusedError(str(error)) from error


def _require_blocks(ids: Sequence[bytes], rows: NDArray[np.int32], schema: FittedSchema) -> None:
    fields = schema.of(Scope.ITEM)
    for field, (at, width) in zip(fields, spans(fields), strict=True):
        column = rows[:, at : at + width]
        first = schema.first_row[field.name]
        inside = (column >= first) & (column < first + field.block)
        inside[:, 1:] |= column[:, 1:] == PADDING_ROW  # unused places of a multi field
        odd = np.flatnonzero(~inside.all(axis=1))
        if len(odd):
            raise RowsRefusedError(f"{ids[odd[0]]!r}: {field.name} is outside its rows")


def _ready(names: list[str], rows: NDArray[np.int32], base: ItemTable) -> ItemTable:
    from_base = base.places(names)
    known = from_base >= 0
    numbers: dict[str, NDArray[Any]] = {
        name: np.where(known, np.append(column, np.float32(np.nan))[from_base], np.float32(np.nan))
        for name, column in base.numbers.items()
    }
    display = {
        role: [texts[at] if at >= 0 else "" for at in from_base.tolist()]
        for role, texts in base.display.items()
    }
    table = ItemTable(names, rows, base.default_row, numbers, display)
    _ = table.padded_rows  # made here, not in the first request that needs it
    return table
