"""`users.bin`: all users' blobs in one file, written by training, streamed into the store.

    offset  bytes  what
    0       4      magic "RLUS"
    4       2      version
    6       2      reserved, zero
    8       8      schema hash
    16      8      users, uint64
    then for each user: u16 length of the id, id (UTF-8), u32 length of the blob, blob
All little-endian. `user_record.py` has the layout of a blob.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from model.contract.errors import UserRecordError

STREAM_MAGIC, STREAM_VERSION = b"RLUS", 1
_HEAD = struct.Struct("<4sHH8sQ")
_ID, _BLOB = struct.Struct("<H"), struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class UserStreamHeader:
    """What a stream says of itself: the schema its blobs are of, and how many users follow."""

    schema_hash: str
    user_count: int


def write_user_stream(path: Path, schema_hash: str, users: Sequence[tuple[str, bytes]]) -> None:
    """Write (user id, blob) pairs."""
    with path.open("wb") as file:
        file.write(
            _HEAD.pack(STREAM_MAGIC, STREAM_VERSION, 0, bytes.fromhex(schema_hash), len(users))
        )
        for user_id, blob in users:
            name = user_id.encode()
            file.write(_ID.pack(len(name)) + name + _BLOB.pack(len(blob)) + blob)


def read_user_stream_header(path: Path) -> UserStreamHeader:
    """Read only the head; raises UserRecordError when the file is no such stream."""
    with path.open("rb") as file:
        return _head(file)


def read_user_stream(path: Path) -> Iterator[tuple[str, bytes]]:
    """Stream (user id, blob) pairs; raises UserRecordError as soon as the file proves not whole."""
    with path.open("rb") as file:
        for _ in range(_head(file).user_count):
            name = _read_exactly(file, _ID.unpack(_read_exactly(file, _ID.size))[0])
            yield (
                _decode_user_id(name),
                _read_exactly(file, _BLOB.unpack(_read_exactly(file, _BLOB.size))[0]),
            )
        if file.read(1):
            raise UserRecordError(reason=f"{path.name} goes on after its last user")


def _head(file: BinaryIO) -> UserStreamHeader:
    magic, version, _, schema, users = _HEAD.unpack(_read_exactly(file, _HEAD.size))
    if magic != STREAM_MAGIC or version != STREAM_VERSION:
        raise UserRecordError(
            reason=f"magic {magic!r} version {version} is not {STREAM_MAGIC!r} {STREAM_VERSION}"
        )
    return UserStreamHeader(schema_hash=schema.hex(), user_count=users)


def _read_exactly(file: BinaryIO, count: int) -> bytes:
    found = file.read(count)
    if len(found) != count:
        raise UserRecordError(
            reason=f"the stream of users ends {count - len(found)} bytes too early"
        )
    return found


def _decode_user_id(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise UserRecordError(reason=f"a user id is not UTF-8: {error}") from error
