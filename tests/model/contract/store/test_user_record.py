"""Bytes of a user's record: what goes in comes out, and nothing else is read as a record."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from model.contract.errors import UserRecordError
from model.contract.store.user_record import (
    UserRecord,
    item_table_redis_key,
    item_table_version_redis_key,
    pack_user_record,
    unpack_user_record,
    user_redis_key,
)

HASH = "00ff10ab00000001"


@st.composite
def records(draw: st.DrawFn) -> UserRecord:
    shape = (draw(st.integers(0, 6)), draw(st.integers(0, 5)))
    flags = st.integers(-1, 1)
    return UserRecord(
        written_at_ms=draw(st.integers(-(2**63), 2**63 - 1)),
        user_columns=draw(arrays.arrays(np.int32, draw(st.integers(0, 7)))),
        item_keys=draw(arrays.arrays(np.uint64, shape)),
        clicked=draw(arrays.arrays(np.int8, shape, elements=flags)),
        converted=draw(arrays.arrays(np.int8, shape, elements=flags)),
    )


def sample_record(sessions: int = 2, slots: int = 3, columns: int = 2) -> UserRecord:
    cells = np.arange(sessions * slots).reshape(sessions, slots)
    return UserRecord(
        written_at_ms=1_700_000_000_123,
        user_columns=np.arange(5, 5 + columns, dtype=np.int32),
        item_keys=cells.astype(np.uint64) + np.uint64(2**63),
        clicked=(cells % 2).astype(np.int8),
        converted=(-(cells % 2)).astype(np.int8),
    )


@given(records())
def test_pack_user_record_round_trip(ours):
    read = unpack_user_record(pack_user_record(ours, HASH), HASH)

    assert read.written_at_ms == ours.written_at_ms
    for name in ("user_columns", "item_keys", "clicked", "converted"):
        before, after = getattr(ours, name), getattr(read, name)
        assert after.dtype == before.dtype
        assert after.shape == before.shape
        assert after.tolist() == before.tolist()


@given(st.binary(max_size=200))
def test_unpack_user_record_random_bytes_never_crash(blob):
    with pytest.raises(UserRecordError):
        unpack_user_record(blob, HASH)


@given(records(), st.data())
def test_unpack_user_record_wrong_length_is_rejected(ours, data):
    blob = pack_user_record(ours, HASH)
    cut = data.draw(st.integers(0, len(blob) - 1))

    for broken in (blob[:cut], blob + b"\0"):
        with pytest.raises(UserRecordError):
            unpack_user_record(broken, HASH)


def test_pack_user_record_matches_documented_layout():
    blob = pack_user_record(sample_record(), HASH)

    head = struct.pack("<2sBBBBH", b"RL", 1, 2, 3, 2, 0) + bytes.fromhex(HASH)
    body = struct.pack("<q2i", 1_700_000_000_123, 5, 6)
    keys = struct.pack("<6Q", *(2**63 + i for i in range(6)))
    clicked, converted = struct.pack("6b", *(0, 1) * 3), struct.pack("6b", *(0, -1) * 3)
    assert blob == head + body + keys + clicked + converted


@pytest.mark.parametrize(
    ("at", "byte", "named"), [(0, ord("X"), "magic"), (2, 2, "version"), (8, 1, "schema")]
)
def test_unpack_user_record_wrong_header_is_rejected(at, byte, named):
    blob = bytearray(pack_user_record(sample_record(), HASH))
    blob[at] = byte
    with pytest.raises(UserRecordError, match=named):
        unpack_user_record(bytes(blob), HASH)


def test_unpack_user_record_other_schema_is_rejected():
    with pytest.raises(UserRecordError, match=f"schema {HASH} is not {'ab' * 8}"):
        unpack_user_record(pack_user_record(sample_record(), HASH), "ab" * 8)


@pytest.mark.parametrize("odd", [2, 5, 43, 127, -2, -128])
@pytest.mark.parametrize("where", ["clicked", "converted"])
def test_unpack_user_record_invalid_feedback_is_rejected(where, odd):
    for at in range(6):
        ours = sample_record()
        getattr(ours, where).flat[at] = odd
        with pytest.raises(UserRecordError, match="feedback"):
            unpack_user_record(pack_user_record(ours, HASH), HASH)


def test_pack_user_record_oversized_record_is_rejected():
    uneven = sample_record()
    short = UserRecord(
        uneven.written_at_ms,
        uneven.user_columns,
        uneven.item_keys,
        uneven.clicked[:1],
        uneven.converted,
    )
    with pytest.raises(ValueError, match="differ in shape"):
        pack_user_record(short, HASH)
    for too_long in (
        sample_record(sessions=256),
        sample_record(slots=256),
        sample_record(columns=256),
    ):
        with pytest.raises(ValueError, match="at most 255"):
            pack_user_record(too_long, HASH)
    whole = sample_record(sessions=255, slots=1, columns=255)
    assert unpack_user_record(pack_user_record(whole, HASH), HASH).item_keys.shape == (255, 1)


def test_redis_keys_of_users_and_items_differ():
    assert user_redis_key("relist", "u:7") == "relist:u:u:7"
    assert item_table_version_redis_key("relist") == "relist:items:version"
    assert item_table_redis_key("relist", "v3") == "relist:items:v3"
