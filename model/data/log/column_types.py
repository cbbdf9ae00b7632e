"""Types of the Arrow columns of a log, and the normal form of each.

Checks types only; `checks` has the rules of values.
"""

from __future__ import annotations

from enum import Enum

import pyarrow as pa
import pyarrow.compute as pc

from model.contract.schema.declared import DeclaredField, FieldKind, FieldScope
from model.data.errors import MissingColumn, WrongType


class ColumnType(Enum):
    """Content of a column: its description in messages, and its Arrow type in normal form."""

    TEXT = ("text", pa.large_string())
    INTEGER = ("whole numbers (int64)", pa.int64())
    NUMBER = ("numbers", pa.float64())
    TEXT_LIST = ("lists of text", pa.large_list(pa.large_string()))
    INTEGER_LIST = ("lists of whole numbers", pa.large_list(pa.int64()))
    NUMBER_LIST = ("lists of numbers", pa.large_list(pa.float64()))
    NESTED_TEXT_LIST = (
        "lists of lists of text",
        pa.large_list(pa.large_list(pa.large_string())),
    )


_OF_KIND = {
    FieldKind.CATEGORICAL: ColumnType.TEXT,
    FieldKind.NUMERIC: ColumnType.NUMBER,
    FieldKind.MULTI: ColumnType.TEXT_LIST,
}
_LIST_OF = {
    ColumnType.TEXT: ColumnType.TEXT_LIST,
    ColumnType.NUMBER: ColumnType.NUMBER_LIST,
    ColumnType.TEXT_LIST: ColumnType.NESTED_TEXT_LIST,
}


def column_type_of(spec: DeclaredField) -> ColumnType:
    """Type of the column of a declared field; a candidate field has one value a candidate."""
    single = _OF_KIND[spec.kind]
    return _LIST_OF[single] if spec.scope is FieldScope.CANDIDATE else single


def select_columns(table: pa.Table, columns: dict[str, ColumnType], *, file: str) -> pa.Table:
    """The named columns of an Arrow table in their normal form.

    Raises:
        MissingColumn, WrongType: naming the file and the column.
    """
    out = {}
    for name, want in columns.items():
        if name not in table.column_names:
            present = ", ".join(table.column_names)
            raise MissingColumn(file=file, column=name, rule=f"missing; the file has {present}")
        out[name] = _normal(table[name], want, file, name)
    return pa.table(out)


def _normal(column: pa.ChunkedArray, want: ColumnType, file: str, name: str) -> pa.ChunkedArray:
    words, target = want.value
    if not _accepts(column.type, target):
        raise WrongType(file=file, column=name, rule=f"must hold {words}, not {column.type}")
    try:
        return pc.cast(column, target)
    except pa.ArrowInvalid as error:
        raise WrongType(file=file, column=name, rule=f"must hold {words}: {error}") from error


def _accepts(source: pa.DataType, target: pa.DataType) -> bool:
    """Whether values of type `source` mean the same in type `target`."""
    kinds = pa.types
    if kinds.is_null(source):
        return True
    if kinds.is_large_list(target):
        is_list = (
            kinds.is_list(source) or kinds.is_large_list(source) or kinds.is_fixed_size_list(source)
        )
        return is_list and _accepts(source.value_type, target.value_type)
    if kinds.is_large_string(target):
        if kinds.is_dictionary(source):
            source = source.value_type
        return bool(kinds.is_string(source) or kinds.is_large_string(source))
    if kinds.is_int64(target):
        return bool(kinds.is_integer(source) or kinds.is_boolean(source))
    return bool(kinds.is_floating(source) or kinds.is_integer(source) or kinds.is_boolean(source))


def as_single_array(column: pa.ChunkedArray) -> pa.Array:
    """All chunks of a column as one Arrow array."""
    combined = column.combine_chunks()
    if not isinstance(combined, pa.ChunkedArray):
        return combined
    return combined.chunk(0) if combined.num_chunks else pa.array([], type=column.type)
