"""User features held in the memory of this process, for development and small sets of users.

Holds packed records and unpacks one per fetch, so it rejects the same bytes as `RedisUserStore`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from model.contract.errors import UserRecordError
from model.contract.store.user_record import UserRecord, unpack_user_record
from model.contract.store.user_stream import read_user_stream, read_user_stream_header
from service.errors import FeaturesUnavailable

MEMORY_STORE = "memory"


class MemoryUserStore:
    """Users of one schema, by id."""

    def __init__(self, blobs: Mapping[str, bytes], *, schema_hash: str) -> None:
        self._blobs, self._schema_hash = blobs, schema_hash

    @classmethod
    def from_file(cls, path: Path, *, schema_hash: str) -> Self:
        """Load users.bin; raises UserRecordError when it is truncated or of another schema."""
        file_hash = read_user_stream_header(path).schema_hash
        if file_hash != schema_hash:
            raise UserRecordError(reason=f"{path}: schema {file_hash} is not {schema_hash}")
        return cls(dict(read_user_stream(path)), schema_hash=schema_hash)

    async def fetch_user(self, user_id: str, *, timeout_s: float) -> UserRecord | None:
        """The record of a user, None for an unknown one.

        Raises FeaturesUnavailable for unreadable bytes.
        """
        blob = self._blobs.get(user_id)
        if blob is None:
            return None
        try:
            return unpack_user_record(blob, self._schema_hash)
        except UserRecordError as error:
            raise FeaturesUnavailable(
                store=MEMORY_STORE, fault="unreadable", waited_ms=0.0, budget_ms=timeout_s * 1e3
            ) from error

    async def ping(self, *, timeout_s: float) -> None:
        """Return at once."""

    async def close(self) -> None:
        """Do nothing."""
