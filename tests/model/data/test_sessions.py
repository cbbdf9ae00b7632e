import numpy as np

from model.data.sessions import NONE, index_sessions
from model.data.tables import prepare
from tests.logs import write_toy_log


def test_sessions_are_the_newest_lists_strictly_before_by_a_plain_loop():
    rng = np.random.default_rng(0)
    user = rng.integers(0, 7, 200).astype(np.int32)
    timestamp = np.sort(rng.integers(0, 60, 200)) + 10**12
    index = index_sessions(user, timestamp)

    found = index.newest(user.astype(np.int64), timestamp, 4)

    for row in range(200):
        own = {int(t) for t in timestamp[user == user[row]]}
        before = sorted((t for t in own if t < timestamp[row]), reverse=True)[:4]
        seen = [s for s in found[row] if s != NONE]
        assert [int(index.timestamp[s]) for s in seen] == before
        assert {int(index.user[s]) for s in seen} <= {int(user[row])}
        assert (found[row, len(seen) :] == NONE).all()


def test_of_two_lists_at_one_moment_only_the_first_becomes_a_session():
    index = index_sessions(
        np.array([3, 3, 1, 3], dtype=np.int32), np.array([50, 50, 50, 60], dtype=np.int64)
    )

    assert index.row.tolist() == [2, 0, 3]
    assert index.newest(np.array([3, 3, 1, 2]), np.array([60, 61, 51, 99]), 2).tolist() == [
        [1, NONE],
        [2, 1],
        [0, NONE],
        [NONE, NONE],
    ]


def test_nothing_at_or_after_a_rows_own_moment_gets_into_its_sessions(tmp_path):
    tables = prepare(write_toy_log(tmp_path), sessions=10)
    index = index_sessions(tables.user_place, tables.timestamp)

    row, at = np.nonzero(tables.sessions >= 0)
    session = tables.sessions[row, at]

    assert len(row) > 300
    assert (index.timestamp[session] < tables.timestamp[row]).all()
    assert (index.user[session] == tables.user_place[row]).all()
    twins = np.flatnonzero((np.diff(tables.timestamp) == 0) & (np.diff(tables.user_place) == 0))
    assert len(twins), "no user has two lists at one moment: the strict bound is not tested"
    for one, other in zip(tables.sessions[twins], tables.sessions[twins + 1], strict=True):
        assert one.tolist() == other.tolist()


def test_a_session_holds_what_its_row_showed(tmp_path):
    tables = prepare(write_toy_log(tmp_path), sessions=10)
    index = index_sessions(tables.user_place, tables.timestamp)
    clicked = tables.schema.first_row["clicked"]

    for session, row in enumerate(index.row):
        m = int(tables.shown_count[row])
        shown = tables.candidates[row, tables.shown[row, :m]]
        assert int(tables.session_count[session]) == m
        assert tables.session_items[session, :m].tolist() == shown.tolist()
        feedback = tables.session_feedback[session, :m, 0] - clicked - 2
        assert feedback.tolist() == tables.clicks[row, :m].tolist()
