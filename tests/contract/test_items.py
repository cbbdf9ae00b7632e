"""The item table: ids and keys to places, and a file that gives back what was written."""

import zipfile
from typing import Any

import numpy as np
import pytest

from model.contract.errors import ManifestError
from model.contract.items import ItemTable, item_key, item_keys

IDS = ["i0", "\u00fcber", "", "ends with nul\0", "i" * 300]


def table(**change):
    held: dict[str, Any] = {
        "ids": IDS,
        "rows": np.arange(10, dtype=np.int32).reshape(5, 2),
        "default_row": np.array([90, 91], dtype=np.int32),
        "numbers": {
            "price": np.array([1, np.nan, 3, 4, 5], dtype=np.float32),
            "display_size": np.arange(5, dtype=np.float32),  # named like the other kind of column
        },
        "display": {
            "title": ["A", "", "\u5bff\u53f8", "D\0", "E" * 500],
            "number_of": list("abcde"),
        },
    }
    return ItemTable(**(held | change))


def test_a_written_table_reads_back_the_same(tmp_path):
    ours = table()
    ours.write(tmp_path / "items.npz")
    read = ItemTable.read(tmp_path / "items.npz")

    assert read.ids == IDS
    assert read.rows.tolist() == ours.rows.tolist()
    assert read.rows.dtype == np.int32
    assert read.default_row.tolist() == [90, 91]
    assert set(read.numbers) == {"price", "display_size"}
    for name, column in ours.numbers.items():
        np.testing.assert_array_equal(read.numbers[name], column)
    assert read.display == ours.display


def test_an_empty_table_reads_back_empty(tmp_path):
    empty = table(ids=[], rows=np.zeros((0, 2), dtype=np.int32), numbers={}, display={"title": []})
    empty.write(tmp_path / "items.npz")
    read = ItemTable.read(tmp_path / "items.npz")

    assert read.ids == []
    assert read.padded_rows.tolist() == [[90, 91]]
    assert read.places(["i0"]).tolist() == [-1]
    assert read.places_of_keys(item_keys(["i0", "i1"])).tolist() == [-1, -1]


def test_rows_and_the_default_row_after_them_are_held_once():
    ours, before = table(), table().rows.tolist()

    assert ours.padded_rows.tolist() == [*before, [90, 91]]
    assert ours.rows.tolist() == before
    assert np.shares_memory(ours.rows, ours.padded_rows)


def test_ids_and_their_keys_find_the_same_places_and_strangers_the_default_row():
    ours = table()
    asked = ["i" * 300, "nobody", "\u00fcber", "i0", "i0"]

    assert ours.places(asked).tolist() == [4, -1, 1, 0, 0]
    keys = item_keys(asked)
    assert ours.places_of_keys(keys).tolist() == [4, -1, 1, 0, 0]
    assert ours.places_of_keys(keys[:4].reshape(2, 2)).tolist() == [[4, -1], [1, 0]]
    assert ours.padded_rows[ours.places(asked)].tolist() == [
        [8, 9],
        [90, 91],
        [2, 3],
        [0, 1],
        [0, 1],
    ]


def test_the_zero_of_an_empty_slot_is_no_item():
    assert table().places_of_keys(np.zeros(2, dtype=np.uint64)).tolist() == [-1, -1]


def test_keys_are_frozen_because_stored_sessions_name_items_by_them():
    # BLAKE2b with 8 bytes of digest, little-endian: `printf i0 | b2sum -l 64`
    assert item_key("i0") == int.from_bytes(bytes.fromhex("7af38095fd650cb3"), "little")
    assert item_keys(["i0", "i1"]).tolist() == [item_key("i0"), item_key("i1")]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"ids": ["i0", "i1", "i0", "i2", "i3"]}, "stands twice"),
        ({"rows": np.zeros((4, 2), dtype=np.int32)}, "rows"),
        ({"numbers": {"price": np.zeros(4, dtype=np.float32)}}, "price"),
        ({"display": {"title": ["A"]}}, "title"),
    ],
)
def test_a_table_of_uneven_columns_is_refused(change, rule):
    with pytest.raises(ValueError, match=rule):
        table(**change)


def test_a_broken_file_is_an_error_of_the_artifact_whatever_is_broken(tmp_path):
    path = tmp_path / "items.npz"
    table().write(path)
    whole = path.read_bytes()
    broken = [b"", b"no archive", whole[:100], whole[:-30], whole[:60] + b"\xff" * 40 + whole[100:]]
    for content in broken:
        path.write_bytes(content)
        with pytest.raises(ManifestError, match=r"items\.npz cannot be read"):
            ItemTable.read(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.npy", b"x")
    with pytest.raises(ManifestError):
        ItemTable.read(path)
    with pytest.raises(ManifestError):
        ItemTable.read(tmp_path / "absent.npz")
