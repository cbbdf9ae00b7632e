import numpy as np

from model.data.tables.sessions import NO_SESSION, build_session_index
from model.data.tables.table_cache import build_log_tables
from tests.toy_log import write_toy_log


def test_newest_before_matches_plain_loop():
    rng = np.random.default_rng(0)
    user = rng.integers(0, 7, 200).astype(np.int32)
    timestamp = np.sort(rng.integers(0, 60, 200)) + 10**12
    index = build_session_index(user, timestamp)

    found = index.newest_before(user.astype(np.int64), timestamp, 4)

    for row in range(200):
        own = {int(t) for t in timestamp[user == user[row]]}
        before = sorted((t for t in own if t < timestamp[row]), reverse=True)[:4]
        seen = [s for s in found[row] if s != NO_SESSION]
        assert [int(index.timestamp[s]) for s in seen] == before
        assert {int(index.user[s]) for s in seen} <= {int(user[row])}
        assert (found[row, len(seen) :] == NO_SESSION).all()


def test_session_index_same_timestamp_keeps_first_row():
    index = build_session_index(
        np.array([3, 3, 1, 3], dtype=np.int32), np.array([50, 50, 50, 60], dtype=np.int64)
    )

    assert index.log_rows.tolist() == [2, 0, 3]
    assert index.newest_before(np.array([3, 3, 1, 2]), np.array([60, 61, 51, 99]), 2).tolist() == [
        [1, NO_SESSION],
        [2, 1],
        [0, NO_SESSION],
        [NO_SESSION, NO_SESSION],
    ]


def test_log_tables_sessions_precede_their_row(tmp_path):
    tables = build_log_tables(write_toy_log(tmp_path), history_length=10)
    index = build_session_index(tables.user_index, tables.timestamp)

    row, at = np.nonzero(tables.sessions >= 0)
    session = tables.sessions[row, at]

    assert len(row) > 300
    assert (index.timestamp[session] < tables.timestamp[row]).all()
    assert (index.user[session] == tables.user_index[row]).all()
    twins = np.flatnonzero((np.diff(tables.timestamp) == 0) & (np.diff(tables.user_index) == 0))
    assert len(twins), "no user has two lists at one moment: the strict bound is not tested"
    for one, other in zip(tables.sessions[twins], tables.sessions[twins + 1], strict=True):
        assert one.tolist() == other.tolist()


def test_log_tables_session_equals_shown_list(tmp_path):
    tables = build_log_tables(write_toy_log(tmp_path), history_length=10)
    index = build_session_index(tables.user_index, tables.timestamp)
    clicked = tables.schema.block_starts["clicked"]

    for session, row in enumerate(index.log_rows):
        m = int(tables.shown_count[row])
        shown = tables.candidates[row, tables.shown[row, :m]]
        assert int(tables.session_count[session]) == m
        assert tables.session_items[session, :m].tolist() == shown.tolist()
        feedback = tables.session_feedback[session, :m, 0] - clicked - 2
        assert feedback.tolist() == tables.clicks[row, :m].tolist()
