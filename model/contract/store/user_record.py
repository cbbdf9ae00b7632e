"""Keys and bytes of the feature store. One key a user, one compact blob, read by one GET.

    offset  bytes  what
    0       2      magic "RL"
    2       1      version
    3       1      H, sessions held (newest first)
    4       1      M, slots of each session
    5       1      user columns (user-scope columns, `user_id` first)
    6       2      reserved, zero
    8       8      schema hash
    16      8      write time, int64 ms
    24      4*U    encoded user columns, int32
    ..      H*M*8  item keys, uint64 (0 in an empty slot)
    ..      H*M    clicked, int8: 0, 1, -1 in an empty slot
    ..      H*M    converted, int8: 0, 1, -1 not known or empty
All little-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.contract.errors import UserRecordError
from model.contract.schema.fitted import EmbeddingIndices

RECORD_MAGIC, RECORD_VERSION = b"RL", 1
_HEAD = struct.Struct("<2sBBBBH8sq")
_FEEDBACK = b"\xff\x00\x01"  # -1, 0 and 1 as int8
_MAX_COUNT = 255  # sessions, slots and user columns are counted in one byte each


@dataclass(frozen=True, slots=True)
class UserRecord:
    """What the store holds of one user.

    written_at_ms: when the record was written (Unix ms).
    user_columns: (U,) int32 encoded user-scope columns, `user_id` first.
    item_keys: (H, M) uint64, newest session first.
    clicked, converted: (H, M) int8; clicked is -1 in a slot that held nothing.
    """

    written_at_ms: int
    user_columns: EmbeddingIndices
    item_keys: NDArray[np.uint64]
    clicked: NDArray[np.int8]
    converted: NDArray[np.int8]


def user_redis_key(prefix: str, user_id: str) -> str:
    """Redis key of one user's blob."""
    return f"{prefix}:u:{user_id}"


def item_table_version_redis_key(prefix: str) -> str:
    """Redis key of the name of the current item table."""
    return f"{prefix}:items:version"


def item_table_version(schema_hash: str, content: str) -> str:
    """Name of an item table: a reader of another schema sees it by the name alone."""
    return f"{schema_hash}.{content}"


def schema_hash_of_version(version: str) -> str:
    """Schema hash in the name of an item table."""
    return version.partition(".")[0]


def item_table_redis_key(prefix: str, version: str) -> str:
    """Redis hash: item id -> encoded row (little-endian int32)."""
    return f"{prefix}:items:{version}"


def pack_user_record(record: UserRecord, schema_hash: str) -> bytes:
    """Encode one user's record; raises ValueError for one that the layout cannot hold."""
    sessions, slots = record.item_keys.shape
    if not record.item_keys.shape == record.clicked.shape == record.converted.shape:
        raise ValueError("item keys and feedback of a record differ in shape")
    if max(sessions, slots, len(record.user_columns)) > _MAX_COUNT:
        raise ValueError(f"a record holds at most {_MAX_COUNT} sessions, slots and columns")
    head = _HEAD.pack(
        RECORD_MAGIC,
        RECORD_VERSION,
        sessions,
        slots,
        len(record.user_columns),
        0,
        bytes.fromhex(schema_hash),
        record.written_at_ms,
    )
    parts = (
        (record.user_columns, "<i4"),
        (record.item_keys, "<u8"),
        (record.clicked, "i1"),
        (record.converted, "i1"),
    )
    return head + b"".join(array.astype(dtype).tobytes() for array, dtype in parts)


def unpack_user_record(blob: bytes, schema_hash: str) -> UserRecord:
    """Decode one user's blob.

    Raises UserRecordError when it is incomplete, of another schema, or holds feedback beyond -1, 0
    and 1. The caller checks whether the user columns fit its schema.
    """
    if len(blob) < _HEAD.size:
        raise UserRecordError(reason=f"{len(blob)} bytes are less than a header")
    magic, version, sessions, slots, width, _, found, written = _HEAD.unpack_from(blob)
    if magic != RECORD_MAGIC or version != RECORD_VERSION:
        raise UserRecordError(
            reason=f"magic {magic!r} version {version} is not {RECORD_MAGIC!r} {RECORD_VERSION}"
        )
    if found.hex() != schema_hash:
        raise UserRecordError(reason=f"schema {found.hex()} is not {schema_hash}")
    cells = sessions * slots
    expected = _HEAD.size + 4 * width + 10 * cells
    if len(blob) != expected:
        raise UserRecordError(reason=f"{len(blob)} bytes, {expected} expected")
    keys = _HEAD.size + 4 * width
    odd = blob[keys + 8 * cells :].translate(None, _FEEDBACK)
    if odd:
        raise UserRecordError(reason=f"feedback byte {odd[0]} is none of -1, 0 and 1")

    feedback = np.frombuffer(blob, "i1", 2 * cells, keys + 8 * cells)
    clicked, converted = feedback.reshape(2, sessions, slots)
    return UserRecord(
        written_at_ms=written,
        user_columns=np.frombuffer(blob, "<i4", width, _HEAD.size),
        item_keys=np.frombuffer(blob, "<u8", cells, keys).reshape(sessions, slots).copy(),
        clicked=clicked,
        converted=converted,
    )
