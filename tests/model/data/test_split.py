import numpy as np
import pytest

from model.data.log_info import LogInfo
from model.data.split import TEST, TRAIN, VALIDATION, every_other, in_first_half, split_rows

SHARES = (0.7, 0.15, 0.15)


def _log(seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    user = rng.integers(0, 40, 900).astype(np.int32)
    return user, rng.integers(0, 300, 900) * 1000 + 10**12, [f"u{u}" for u in range(40)]


@pytest.mark.parametrize("split", ["user", "time"])
def test_rows_of_one_user_and_moment_stay_together(split: str):
    user, timestamp, ids = _log()

    part = split_rows(user, timestamp, ids, LogInfo(split=split, shares=SHARES))

    parts_of: dict[tuple[int, int], set[int]] = {}
    for u, t, p in zip(user, timestamp, part, strict=True):
        parts_of.setdefault((int(u), int(t)), set()).add(int(p))
    assert len(parts_of) < len(user), "no sitting has two rows: nothing is tested"
    assert all(len(parts) == 1 for parts in parts_of.values())


def test_by_user_no_ones_training_row_is_later_than_their_own_held_out_rows():
    user, timestamp, ids = _log()

    part = split_rows(user, timestamp, ids, LogInfo(split="user", shares=SHARES))

    for u in range(40):
        mine = user == u
        order = np.argsort(timestamp[mine], kind="stable")
        assert (np.diff(part[mine][order]) >= 0).all()
    assert np.bincount(part) / len(part) == pytest.approx(SHARES, abs=0.03)


def test_by_time_no_training_row_at_all_is_later_than_a_held_out_one():
    user, timestamp, ids = _log()

    part = split_rows(user, timestamp, ids, LogInfo(split="time", shares=SHARES))

    assert timestamp[part == TRAIN].max() < timestamp[part == VALIDATION].min()
    assert timestamp[part == VALIDATION].max() < timestamp[part == TEST].min()
    assert np.bincount(part) / len(part) == pytest.approx(SHARES, abs=0.03)


@pytest.mark.parametrize("sittings", [1, 2, 3])
def test_users_with_few_sittings_still_meet_the_shares_as_a_crowd(sittings: int):
    users = 4_000
    user = np.repeat(np.arange(users, dtype=np.int32), sittings)
    timestamp = np.tile(np.arange(sittings) + 10**12, users)

    part = split_rows(
        user, timestamp, [f"u{u}" for u in range(users)], LogInfo(split="user", shares=SHARES)
    )

    # 4000 independent shifts: three standard errors of a share are 3 sqrt(.7 * .3 / 4000) = .022
    assert np.bincount(part, minlength=3) / len(part) == pytest.approx(SHARES, abs=0.022)


def test_the_split_does_not_depend_on_the_order_of_rows():
    user, timestamp, ids = _log()
    mixed = np.random.default_rng(1).permutation(len(user))
    info = LogInfo(split="user", shares=SHARES)

    part = split_rows(user, timestamp, ids, info)

    assert part[mixed].tolist() == split_rows(user[mixed], timestamp[mixed], ids, info).tolist()


def test_the_halves_of_the_users_are_about_equal_and_do_not_depend_on_the_log():
    ids = [f"u{i}" for i in range(2000)]

    first = in_first_half(ids)

    # 2,000 fair coins: 1,000 with a standard deviation of 22
    assert abs(int(first.sum()) - 1000) < 100
    assert in_first_half(ids[::-1][:50]).tolist() == first[::-1][:50].tolist()


def test_every_other_sitting_of_a_user_is_taken_with_all_of_its_rows():
    user = np.array([7, 3, 7, 3, 7, 3, 7], dtype=np.int32)
    timestamp = np.array([30, 10, 10, 20, 20, 20, 20], dtype=np.int64)

    even = every_other(user, timestamp)

    # user 3: 10, 20 (two rows); user 7: 10, 20 (two rows), 30
    assert even.tolist() == [True, True, True, False, False, False, False]
