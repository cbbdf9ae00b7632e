"""What export, service, demo and load test need from a log, written beside the checkpoint.

`items.npz`, `users.bin`, `requests.jsonl` and `golden_inputs.npz`; no weights. A user's blob holds
the sessions before that user's first test row, so that this row is served with the very features
that the tables give it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.contract.items import item_keys
from model.contract.noise import request_noise
from model.contract.store_layout import UserRecord, pack_user
from model.contract.user_stream import write_users
from model.data.arrays import below, gather_arrays
from model.data.handover_requests import write_requests
from model.data.log_tables import LogTables
from model.data.ragged import Ints
from model.data.sessions import index_sessions
from model.data.split import TEST, VALIDATION

ITEMS, USERS, REQUESTS, GOLDEN_INPUTS = (
    "items.npz",
    "users.bin",
    "requests.jsonl",
    "golden_inputs.npz",
)
REQUEST_COUNT, GOLDEN_COUNT, LISTS = 1_000, 256, 8


def write_handover(
    tables: LogTables, log_dir: Path, folder: Path, *, seed: int, edits: int, noise_scale: float
) -> None:
    """Write the four files into `folder`.

    Args:
        tables: the prepared log.
        log_dir: the log itself, for raw values of requests.
        folder: where the checkpoint lies.
        seed: of the golden requests' noise; request i has seed + i.
        edits: T.
        noise_scale: s, as it will be served.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables.items.write(folder / ITEMS)
    write_user_blobs(tables, folder / USERS)
    write_requests(tables, log_dir, folder / REQUESTS, REQUEST_COUNT)
    golden = golden_inputs(tables, seed=seed, edits=edits, noise_scale=noise_scale)
    np.savez_compressed(folder / GOLDEN_INPUTS, allow_pickle=False, **golden)


def write_user_blobs(tables: LogTables, path: Path) -> None:
    """Write every user's blob; its write time is the moment up to which it looks."""
    users = np.arange(len(tables.users.ids))
    moment = first_test_moment(tables)
    index = index_sessions(tables.user_place, tables.timestamp)
    newest = index.newest(users, moment, tables.history)
    keys = np.append(item_keys(tables.items.ids), np.uint64(0))
    blobs = []
    for user, user_id in enumerate(tables.users.ids):
        held = newest[user][newest[user] >= 0]
        rows = index.row[held]
        valid = below(tables.session_count[held], tables.slots)
        record = UserRecord(
            written_ms=int(moment[user]),
            columns=tables.users.rows[user],
            item_keys=np.where(valid, keys[tables.session_items[held]], 0).astype(np.uint64),
            clicked=tables.clicks[rows],
            converted=tables.conversions[rows],
        )
        blobs.append((user_id, pack_user(record, tables.schema.hash)))
    write_users(path, tables.schema.hash, blobs)


def first_test_moment(tables: LogTables) -> Ints:
    """(U,) timestamp of each user's first test row; just after the log for a user without one."""
    moment = np.full(len(tables.users.ids), int(tables.timestamp.max()) + 1, dtype=np.int64)
    test = tables.rows_of(TEST)
    np.minimum.at(moment, tables.user_place[test], tables.timestamp[test])
    return moment


def golden_inputs(
    tables: LogTables, *, seed: int, edits: int, noise_scale: float
) -> dict[str, NDArray[np.generic]]:
    """Inputs of both graphs for the first validation requests, under the graphs' names."""
    rows = tables.rows_of(VALIDATION)[:GOLDEN_COUNT]
    arrays = gather_arrays(tables, rows)
    count = np.minimum(tables.cand_count[rows], tables.list_size)
    slot_valid = below(count, tables.slots)
    place = np.broadcast_to(np.arange(tables.slots), slot_valid.shape)
    slots, items = zip(
        *(
            request_noise(
                seed=seed + i,
                lists=LISTS,
                edits=edits,
                slots=tables.slots,
                candidates=tables.max_candidates,
                scale=noise_scale,
            )
            for i in range(len(rows))
        ),
        strict=True,
    )
    return arrays._replace(slot_valid=slot_valid)._asdict() | {
        "start": np.where(slot_valid, place, 0).astype(np.int32),
        "editable": slot_valid,
        "noise_slot": np.stack(slots),
        "noise_item": np.stack(items),
    }
