"""Item table <-> the hash of encoded rows in Redis (item id -> little-endian int32 row).

Pure conversion and checks; reading and waiting is `item_refresher.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.contract.schema.declared import FieldScope
from model.contract.schema.fitted import PADDING_INDEX, FittedSchema, column_count, column_spans
from model.contract.schema.item_table import ItemTable

_ROW_DTYPE = "<i4"


class InvalidItemRowsError(ValueError):
    """The hash does not hold rows of this schema; says which item and why."""


def item_table_digest(table: ItemTable) -> str:
    """Sixteen hex digits of what the hash of this table would hold."""
    digest = hashlib.sha256()
    for item_id, row in encode_item_rows(table):
        digest.update(len(item_id).to_bytes(4, "little") + item_id + row)
    return digest.hexdigest()[:16]


def encode_item_rows(table: ItemTable) -> Iterator[tuple[bytes, bytes]]:
    """(id, row) pairs as the hash holds them."""
    rows = np.ascontiguousarray(table.rows.astype(_ROW_DTYPE))
    for item_id, row in zip(table.ids, rows, strict=True):
        yield item_id.encode(), row.tobytes()


def decode_item_table(
    rows: Mapping[bytes, bytes], schema: FittedSchema, artifact_items: ItemTable
) -> ItemTable:
    """The table of these rows, ready to serve.

    Raw numbers and display texts are not part of the hash: an item keeps what the artifact knows of
    it; one that the artifact does not know has none.

    Raises:
        InvalidItemRowsError: a row of another width, or outside its field's block of the embedding
            table, which the graphs would read beyond their weights; ids that are no text.
    """
    ids = sorted(rows)
    width = column_count(schema.fields_in_scopes(FieldScope.ITEM))
    wrong = next((i for i in ids if len(rows[i]) != 4 * width), None)
    if wrong is not None:
        raise InvalidItemRowsError(f"{wrong!r}: {len(rows[wrong])} bytes, not {4 * width}")
    packed = b"".join(rows[i] for i in ids)
    encoded = np.frombuffer(packed, dtype=_ROW_DTYPE).reshape(len(ids), width).astype(np.int32)
    _check_embedding_rows(ids, encoded, schema)
    try:
        names = [i.decode() for i in ids]
        return _assemble_table(names, encoded, artifact_items)
    except ValueError as error:  # an id that is not UTF-8, or two ids with one key
        raise InvalidItemRowsError(str(error)) from error


def _check_embedding_rows(
    ids: Sequence[bytes], rows: NDArray[np.int32], schema: FittedSchema
) -> None:
    fields = schema.fields_in_scopes(FieldScope.ITEM)
    for field, (at, width) in zip(fields, column_spans(fields), strict=True):
        column = rows[:, at : at + width]
        first = schema.block_starts[field.name]
        inside = (column >= first) & (column < first + field.block_size)
        inside[:, 1:] |= column[:, 1:] == PADDING_INDEX  # unused places of a multi field
        odd = np.flatnonzero(~inside.all(axis=1))
        if len(odd):
            raise InvalidItemRowsError(f"{ids[odd[0]]!r}: {field.name} is outside its rows")


def _assemble_table(names: list[str], rows: NDArray[np.int32], base: ItemTable) -> ItemTable:
    from_base = base.row_indices(names)
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
    _ = table.rows_with_default  # made here, not in the first request that needs it
    return table
