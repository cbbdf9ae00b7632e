"""The item table: ids and keys to places, and a file that gives back what was written."""

import zipfile
from typing import Any

import numpy as np
import pytest

from model.contract.errors import ManifestError
from model.contract.schema.item_table import ItemTable, item_key, item_keys

IDS = ["i0", "\u00fcber", "", "ends with nul\0", "i" * 300]


def sample_item_table(**change):
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


def test_item_table_write_and_read_round_trip(tmp_path):
    ours = sample_item_table()
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


def test_item_table_empty_round_trip(tmp_path):
    empty = sample_item_table(
        ids=[], rows=np.zeros((0, 2), dtype=np.int32), numbers={}, display={"title": []}
    )
    empty.write(tmp_path / "items.npz")
    read = ItemTable.read(tmp_path / "items.npz")

    assert read.ids == []
    assert read.rows_with_default.tolist() == [[90, 91]]
    assert read.row_indices(["i0"]).tolist() == [-1]
    assert read.row_indices_of_keys(item_keys(["i0", "i1"])).tolist() == [-1, -1]


def test_rows_with_default_shares_memory_with_rows():
    ours, before = sample_item_table(), sample_item_table().rows.tolist()

    assert ours.rows_with_default.tolist() == [*before, [90, 91]]
    assert ours.rows.tolist() == before
    assert np.shares_memory(ours.rows, ours.rows_with_default)


def test_row_indices_by_id_and_key_agree():
    ours = sample_item_table()
    asked = ["i" * 300, "nobody", "\u00fcber", "i0", "i0"]

    assert ours.row_indices(asked).tolist() == [4, -1, 1, 0, 0]
    keys = item_keys(asked)
    assert ours.row_indices_of_keys(keys).tolist() == [4, -1, 1, 0, 0]
    assert ours.row_indices_of_keys(keys[:4].reshape(2, 2)).tolist() == [[4, -1], [1, 0]]
    assert ours.rows_with_default[ours.row_indices(asked)].tolist() == [
        [8, 9],
        [90, 91],
        [2, 3],
        [0, 1],
        [0, 1],
    ]


def test_row_indices_of_key_zero_is_unknown():
    assert sample_item_table().row_indices_of_keys(np.zeros(2, dtype=np.uint64)).tolist() == [
        -1,
        -1,
    ]


def test_item_key_of_fixed_ids_is_constant():
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
def test_item_table_uneven_columns_are_rejected(change, rule):
    with pytest.raises(ValueError, match=rule):
        sample_item_table(**change)


def test_item_table_read_corrupt_file_raises_manifest_error(tmp_path):
    path = tmp_path / "items.npz"
    sample_item_table().write(path)
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
