"""Converts an item table to and from its hash in Redis (item id -> little-endian int32 row).

Pure conversion and checks; `item_table_reader.py` reads Redis.
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
    """The hash does not hold rows of this schema; the message has the item and the reason."""


def item_table_digest(table: ItemTable) -> str:
    """Digest of the ids and rows of a table, 16 hex digits."""
    digest = hashlib.sha256()
    for item_id, row in encode_item_rows(table):
        digest.update(len(item_id).to_bytes(4, "little") + item_id + row)
    return digest.hexdigest()[:16]


def encode_item_rows(table: ItemTable) -> Iterator[tuple[bytes, bytes]]:
    """(UTF-8 id, row bytes) pairs of the hash in Redis."""
    rows = np.ascontiguousarray(table.rows.astype(_ROW_DTYPE))
    for item_id, row in zip(table.ids, rows, strict=True):
        yield item_id.encode(), row.tobytes()


def decode_item_table(
    rows: Mapping[bytes, bytes], schema: FittedSchema, artifact_items: ItemTable
) -> ItemTable:
    """The table of these rows.

    Raw numbers and display texts are not part of the hash: an item has those of the artifact, an
    item that the artifact does not have has none.

    Args:
        rows: row bytes by UTF-8 item id.
        schema: fitted schema of the artifact.
        artifact_items: the artifact's own table.

    Raises:
        InvalidItemRowsError: a row of another width, a row outside its field's block of the
            embedding table (the graphs would read beyond their weights), or an id that is no UTF-8.
    """
    ids = sorted(rows)
    width = column_count(schema.fields_in_scopes(FieldScope.ITEM))
    misfit = next((i for i in ids if len(rows[i]) != 4 * width), None)
    if misfit is not None:
        raise InvalidItemRowsError(f"{misfit!r}: {len(rows[misfit])} bytes, not {4 * width}")
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
    for field, (start, width) in zip(fields, column_spans(fields), strict=True):
        column = rows[:, start : start + width]
        first = schema.block_starts[field.name]
        inside = (column >= first) & (column < first + field.block_size)
        inside[:, 1:] |= column[:, 1:] == PADDING_INDEX  # unused positions of a multi field
        outside = np.flatnonzero(~inside.all(axis=1))
        if len(outside):
            raise InvalidItemRowsError(f"{ids[outside[0]]!r}: {field.name} is outside its rows")


def _assemble_table(
    ids: list[str], rows: NDArray[np.int32], artifact_items: ItemTable
) -> ItemTable:
    sources = artifact_items.row_indices(ids)  # -1: not in the artifact
    known, missing = sources >= 0, np.float32(np.nan)
    numbers: dict[str, NDArray[Any]] = {
        name: np.where(known, np.append(column, missing)[sources], missing)
        for name, column in artifact_items.numbers.items()
    }
    display = {
        role: [texts[source] if source >= 0 else "" for source in sources.tolist()]
        for role, texts in artifact_items.display.items()
    }
    table = ItemTable(ids, rows, artifact_items.default_row, numbers, display)
    _ = table.rows_with_default  # cached now, not in the first request that needs it
    return table
