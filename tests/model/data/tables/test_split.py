import numpy as np
import pytest

from model.data.log.log_info import LogInfo
from model.data.tables.split import (
    TEST,
    TRAIN,
    VALIDATION,
    alternate_session_mask,
    assign_parts,
    first_user_half_mask,
)

SHARES = (0.7, 0.15, 0.15)


def _log(seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    user = rng.integers(0, 40, 900).astype(np.int32)
    return user, rng.integers(0, 300, 900) * 1000 + 10**12, [f"u{u}" for u in range(40)]


@pytest.mark.parametrize("split", ["user", "time"])
def test_assign_parts_keeps_sessions_together(split: str):
    user, timestamp, ids = _log()

    part = assign_parts(user, timestamp, ids, LogInfo(split=split, shares=SHARES))

    parts_of: dict[tuple[int, int], set[int]] = {}
    for u, t, p in zip(user, timestamp, part, strict=True):
        parts_of.setdefault((int(u), int(t)), set()).add(int(p))
    assert len(parts_of) < len(user), "no sitting has two rows: nothing is tested"
    assert all(len(parts) == 1 for parts in parts_of.values())


def test_split_by_user_training_precedes_held_out():
    user, timestamp, ids = _log()

    part = assign_parts(user, timestamp, ids, LogInfo(split="user", shares=SHARES))

    for u in range(40):
        mine = user == u
        order = np.argsort(timestamp[mine], kind="stable")
        assert (np.diff(part[mine][order]) >= 0).all()
    assert np.bincount(part) / len(part) == pytest.approx(SHARES, abs=0.03)


def test_split_by_time_training_precedes_all_held_out():
    user, timestamp, ids = _log()

    part = assign_parts(user, timestamp, ids, LogInfo(split="time", shares=SHARES))

    assert timestamp[part == TRAIN].max() < timestamp[part == VALIDATION].min()
    assert timestamp[part == VALIDATION].max() < timestamp[part == TEST].min()
    assert np.bincount(part) / len(part) == pytest.approx(SHARES, abs=0.03)


@pytest.mark.parametrize("sittings", [1, 2, 3])
def test_split_by_user_few_sessions_meets_shares(sittings: int):
    users = 4_000
    user = np.repeat(np.arange(users, dtype=np.int32), sittings)
    timestamp = np.tile(np.arange(sittings) + 10**12, users)

    part = assign_parts(
        user, timestamp, [f"u{u}" for u in range(users)], LogInfo(split="user", shares=SHARES)
    )

    # 4000 independent shifts: three standard errors of a share are 3 sqrt(.7 * .3 / 4000) = .022
    assert np.bincount(part, minlength=3) / len(part) == pytest.approx(SHARES, abs=0.022)


def test_assign_parts_ignores_row_order():
    user, timestamp, ids = _log()
    mixed = np.random.default_rng(1).permutation(len(user))
    info = LogInfo(split="user", shares=SHARES)

    part = assign_parts(user, timestamp, ids, info)

    assert part[mixed].tolist() == assign_parts(user[mixed], timestamp[mixed], ids, info).tolist()


def test_first_user_half_mask_is_balanced_and_stable():
    ids = [f"u{i}" for i in range(2000)]

    first = first_user_half_mask(ids)

    # 2,000 fair coins: 1,000 with a standard deviation of 22
    assert abs(int(first.sum()) - 1000) < 100
    assert first_user_half_mask(ids[::-1][:50]).tolist() == first[::-1][:50].tolist()


def test_alternate_session_mask_takes_whole_sessions():
    user = np.array([7, 3, 7, 3, 7, 3, 7], dtype=np.int32)
    timestamp = np.array([30, 10, 10, 20, 20, 20, 20], dtype=np.int64)

    even = alternate_session_mask(user, timestamp)

    # user 3: 10, 20 (two rows); user 7: 10, 20 (two rows), 30
    assert even.tolist() == [True, True, True, False, False, False, False]
