"""User records for the tests of the stores: each user differs from the others."""

from __future__ import annotations

import numpy as np

from model.contract.store.user_record import UserRecord

SCHEMA, OTHER_SCHEMA = "00112233445566ff", "ff112233445566ff"
PREFIX = "relist-test"


def make_user_record(seed: int) -> UserRecord:
    """Two sessions of three slots, drawn from the seed."""
    rng = np.random.default_rng(seed)
    return UserRecord(
        written_at_ms=1_700_000_000_000 + seed,
        user_columns=rng.integers(1, 100, 4).astype(np.int32),
        item_keys=rng.integers(1, 2**63, (2, 3)).astype(np.uint64),
        clicked=rng.integers(0, 2, (2, 3)).astype(np.int8),
        converted=rng.integers(-1, 2, (2, 3)).astype(np.int8),
    )


def records_equal(found: UserRecord | None, expected: UserRecord) -> bool:
    """Whether two records hold the same."""
    return found is not None and (
        found.written_at_ms == expected.written_at_ms
        and np.array_equal(found.user_columns, expected.user_columns)
        and np.array_equal(found.item_keys, expected.item_keys)
        and np.array_equal(found.clicked, expected.clicked)
        and np.array_equal(found.converted, expected.converted)
    )
