"""Bytes of a user's record: what goes in comes out, and nothing else is read as a record."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from model.contract.errors import BlobError
from model.contract.store_layout import (
    UserRecord,
    items_key,
    items_version_key,
    pack_user,
    unpack_user,
    user_key,
)

HASH = "00ff10ab00000001"


@st.composite
def records(draw: st.DrawFn) -> UserRecord:
    shape = (draw(st.integers(0, 6)), draw(st.integers(0, 5)))
    flags = st.integers(-1, 1)
    return UserRecord(
        written_ms=draw(st.integers(-(2**63), 2**63 - 1)),
        columns=draw(arrays.arrays(np.int32, draw(st.integers(0, 7)))),
        item_keys=draw(arrays.arrays(np.uint64, shape)),
        clicked=draw(arrays.arrays(np.int8, shape, elements=flags)),
        converted=draw(arrays.arrays(np.int8, shape, elements=flags)),
    )


def record(sessions: int = 2, slots: int = 3, columns: int = 2) -> UserRecord:
    cells = np.arange(sessions * slots).reshape(sessions, slots)
    return UserRecord(
        written_ms=1_700_000_000_123,
        columns=np.arange(5, 5 + columns, dtype=np.int32),
        item_keys=cells.astype(np.uint64) + np.uint64(2**63),
        clicked=(cells % 2).astype(np.int8),
        converted=(-(cells % 2)).astype(np.int8),
    )


@given(records())
def test_a_packed_record_unpacks_to_itself(ours):
    read = unpack_user(pack_user(ours, HASH), HASH)

    assert read.written_ms == ours.written_ms
    for name in ("columns", "item_keys", "clicked", "converted"):
        before, after = getattr(ours, name), getattr(read, name)
        assert after.dtype == before.dtype
        assert after.shape == before.shape
        assert after.tolist() == before.tolist()


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_a_blob_error(blob):
    with pytest.raises(BlobError):
        unpack_user(blob, HASH)


@given(records(), st.data())
def test_a_record_cut_anywhere_or_with_bytes_added_is_refused(ours, data):
    blob = pack_user(ours, HASH)
    cut = data.draw(st.integers(0, len(blob) - 1))

    for broken in (blob[:cut], blob + b"\0"):
        with pytest.raises(BlobError):
            unpack_user(broken, HASH)


def test_the_layout_is_the_one_that_the_module_writes_down():
    blob = pack_user(record(), HASH)

    head = struct.pack("<2sBBBBH", b"RL", 1, 2, 3, 2, 0) + bytes.fromhex(HASH)
    body = struct.pack("<q2i", 1_700_000_000_123, 5, 6)
    keys = struct.pack("<6Q", *(2**63 + i for i in range(6)))
    clicked, converted = struct.pack("6b", *(0, 1) * 3), struct.pack("6b", *(0, -1) * 3)
    assert blob == head + body + keys + clicked + converted


@pytest.mark.parametrize(
    ("at", "byte", "named"), [(0, ord("X"), "magic"), (2, 2, "version"), (8, 1, "schema")]
)
def test_a_foreign_blob_is_refused_and_the_reason_named(at, byte, named):
    blob = bytearray(pack_user(record(), HASH))
    blob[at] = byte
    with pytest.raises(BlobError, match=named):
        unpack_user(bytes(blob), HASH)


def test_a_blob_of_another_schema_is_refused():
    with pytest.raises(BlobError, match=f"schema {HASH} is not {'ab' * 8}"):
        unpack_user(pack_user(record(), HASH), "ab" * 8)


@pytest.mark.parametrize("odd", [2, 5, 43, 127, -2, -128])
@pytest.mark.parametrize("where", ["clicked", "converted"])
def test_feedback_that_means_nothing_is_refused_wherever_it_stands(where, odd):
    for at in range(6):
        ours = record()
        getattr(ours, where).flat[at] = odd
        with pytest.raises(BlobError, match="feedback"):
            unpack_user(pack_user(ours, HASH), HASH)


def test_a_record_that_would_be_written_unreadable_is_not_written():
    uneven = record()
    short = UserRecord(
        uneven.written_ms, uneven.columns, uneven.item_keys, uneven.clicked[:1], uneven.converted
    )
    with pytest.raises(ValueError, match="differ in shape"):
        pack_user(short, HASH)
    for too_long in (record(sessions=256), record(slots=256), record(columns=256)):
        with pytest.raises(ValueError, match="at most 255"):
            pack_user(too_long, HASH)
    whole = record(sessions=255, slots=1, columns=255)
    assert unpack_user(pack_user(whole, HASH), HASH).item_keys.shape == (255, 1)


def test_keys_keep_users_and_item_tables_apart():
    assert user_key("relist", "u:7") == "relist:u:u:7"
    assert items_version_key("relist") == "relist:items:version"
    assert items_key("relist", "v3") == "relist:items:v3"
