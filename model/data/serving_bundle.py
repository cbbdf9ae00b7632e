"""The serving bundle: what export, service, demo and load test need from a log.

`items.npz`, `users.bin`, `requests.jsonl` and `golden_inputs.npz`; no weights. A user record holds
the sessions before the first test row of that user. Served, this row has the features that
training gives it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.contract.schema.item_table import item_keys
from model.contract.scoring.noise import request_noise
from model.contract.store.user_record import UserRecord, pack_user_record
from model.contract.store.user_stream import write_user_stream
from model.data.atomic_files import replace_file
from model.data.log.ragged import IntArray
from model.data.serving_bundle_requests import write_example_requests
from model.data.tables.log_tables import LogTables
from model.data.tables.numpy_batches import gather_request_arrays, prefix_mask
from model.data.tables.sessions import build_session_index
from model.data.tables.split import TEST, VALIDATION

ITEMS_NPZ, USERS_BIN, REQUESTS_JSONL, GOLDEN_INPUTS_NPZ = (
    "items.npz",
    "users.bin",
    "requests.jsonl",
    "golden_inputs.npz",
)
REQUEST_COUNT, GOLDEN_REQUEST_COUNT, GOLDEN_LIST_COUNT = 1_000, 256, 8


def write_serving_bundle(
    tables: LogTables, log_dir: Path, bundle_dir: Path, *, seed: int, edits: int, noise_scale: float
) -> None:
    """Write the four files into `bundle_dir`, each atomically.

    Args:
        tables: the prepared log.
        log_dir: the log itself, for raw values of requests.
        bundle_dir: folder of the checkpoint.
        seed: of the noise of golden requests; request i has seed + i.
        edits: T, replacements of a generated list.
        noise_scale: scale of the noise, as it will be served.

    Raises:
        WriteFailed: the file system refused a write.
    """
    bundle_dir.mkdir(parents=True, exist_ok=True)
    with replace_file(bundle_dir / ITEMS_NPZ) as fresh:
        tables.items.write(fresh)
    write_user_records(tables, bundle_dir / USERS_BIN)
    write_example_requests(tables, log_dir, bundle_dir / REQUESTS_JSONL, REQUEST_COUNT)
    golden = build_golden_inputs(tables, seed=seed, edits=edits, noise_scale=noise_scale)
    with replace_file(bundle_dir / GOLDEN_INPUTS_NPZ) as fresh:
        np.savez_compressed(fresh, allow_pickle=False, **golden)


def write_user_records(tables: LogTables, path: Path) -> None:
    """Write the record of every user; its write time is the timestamp up to which it looks."""
    users = np.arange(len(tables.users.ids))
    timestamps = first_test_timestamps(tables)
    index = build_session_index(tables.user_index, tables.timestamp)
    newest = index.newest_before(users, timestamps, tables.history_length)
    keys = np.append(item_keys(tables.items.ids), np.uint64(0))
    records = []
    for user, user_id in enumerate(tables.users.ids):
        sessions = newest[user][newest[user] >= 0]
        rows = index.log_rows[sessions]
        valid = prefix_mask(tables.session_count[sessions], tables.slots)
        record = UserRecord(
            written_at_ms=int(timestamps[user]),
            user_columns=tables.users.rows[user],
            item_keys=np.where(valid, keys[tables.session_items[sessions]], 0).astype(np.uint64),
            clicked=tables.clicks[rows],
            converted=tables.conversions[rows],
        )
        records.append((user_id, pack_user_record(record, tables.schema.hash)))
    with replace_file(path) as fresh:
        write_user_stream(fresh, tables.schema.hash, records)


def first_test_timestamps(tables: LogTables) -> IntArray:
    """(U,) int64 Unix ms of the first test row of each user; just after the log without one."""
    first = np.full(len(tables.users.ids), int(tables.timestamp.max()) + 1, dtype=np.int64)
    test = tables.part_rows(TEST)
    np.minimum.at(first, tables.user_index[test], tables.timestamp[test])
    return first


def build_golden_inputs(
    tables: LogTables, *, seed: int, edits: int, noise_scale: float
) -> dict[str, NDArray[np.generic]]:
    """Inputs of both graphs for the first validation requests, under the names of the graphs."""
    rows = tables.part_rows(VALIDATION)[:GOLDEN_REQUEST_COUNT]
    arrays = gather_request_arrays(tables, rows)
    count = np.minimum(tables.cand_count[rows], tables.list_size)
    slot_valid = prefix_mask(count, tables.slots)
    slot = np.broadcast_to(np.arange(tables.slots), slot_valid.shape)
    noise = [
        request_noise(
            seed=seed + i,
            lists=GOLDEN_LIST_COUNT,
            edits=edits,
            slots=tables.slots,
            candidates=tables.max_candidates,
            scale=noise_scale,
        )
        for i in range(len(rows))
    ]
    return arrays._replace(slot_valid=slot_valid)._asdict() | {
        "start": np.where(slot_valid, slot, 0).astype(np.int32),
        "editable": slot_valid,
        "noise_slot": np.stack([of_slots for of_slots, _ in noise]),
        "noise_item": np.stack([of_items for _, of_items in noise]),
    }
