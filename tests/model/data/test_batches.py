from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from model.contract.schema import ITEM_ID, USER_ID
from model.data.arrays import gather_arrays
from model.data.batches import Gatherer
from model.data.split import TEST, TRAIN
from model.data.tables import LogTables, prepare
from model.nets.inputs import input_list
from tests.logs import write_toy_log


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> LogTables:
    return prepare(write_toy_log(tmp_path_factory.mktemp("log")), sessions=5)


def test_torch_and_numpy_gather_the_same_bytes(tables):
    rows = np.random.default_rng(0).permutation(len(tables))[:64]

    by_torch = Gatherer(tables).gather(rows).request
    by_numpy = gather_arrays(tables, rows)

    for name, array in by_numpy._asdict().items():
        other = getattr(by_torch, name).numpy()
        assert other.dtype == array.dtype, name
        assert other.tobytes() == np.ascontiguousarray(array).tobytes(), name


def test_permuting_the_rows_permutes_the_batch(tables):
    rows = np.array([3, 150, 77, 42])
    gather = Gatherer(tables).gather

    there, back = gather(rows), gather(rows[::-1].copy())

    for a, b in zip(there.request, back.request, strict=True):
        assert torch.equal(a, b.flip(0))
    assert torch.equal(there.shown, back.shown.flip(0))


def test_flipping_the_labels_of_a_row_leaves_its_inputs_byte_equal(tmp_path: Path):
    log = write_toy_log(tmp_path, files=1)
    before = prepare(log, sessions=5)
    victim = _first_with_a_later_row(before)
    _flip_labels(log, str(before.request_ids[victim]))

    after = prepare(log, sessions=5)

    assert not np.array_equal(before.clicks[victim], after.clicks[victim])
    row = np.array([victim])
    for a, b in zip(gather_arrays(before, row), gather_arrays(after, row), strict=True):
        assert a.tobytes() == b.tobytes()
    later = np.flatnonzero(
        (before.user_place == before.user_place[victim])
        & (before.timestamp > before.timestamp[victim])
    )
    a, b = (gather_arrays(t, later).sessions for t in (before, after))
    assert not np.array_equal(a, b), "a later row must see the labels, else this test sees nothing"


def _first_with_a_later_row(tables: LogTables) -> int:
    test = tables.rows_of(TEST)
    user = tables.user_place[test]
    return int(next(r for i, r in enumerate(test) if user[i] in user[i + 2 :]))


def _flip_labels(log: Path, request_id: str) -> None:
    path = log / "impressions" / "part-0.parquet"
    table = pq.read_table(path)
    at = pc.index(table["request_id"], request_id).as_py()
    clicks = table["clicks"].to_pylist()
    clicks[at] = [1 - c for c in clicks[at]]
    conversions = table["conversions"].to_pylist()
    conversions[at] = list(clicks[at])
    for name, values in (("clicks", clicks), ("conversions", conversions)):
        column = pa.array(values, type=pa.list_(pa.int8()))
        table = table.set_column(table.column_names.index(name), name, column)
    pq.write_table(table, path)


def test_padding_is_row_zero_and_marked(tables):
    rows = np.flatnonzero(tables.cand_count < tables.max_candidates)[:4]

    request = Gatherer(tables).gather(rows).request

    for b, row in enumerate(rows):
        n = int(tables.cand_count[row])
        assert request.cand_valid[b].tolist() == [True] * n + [False] * (12 - n)
        assert (request.candidates[b, n:] == 0).all()
        assert (request.candidates[b, :n, 0] > 0).all()
        held = int((tables.sessions[row] >= 0).sum())
        assert not request.sess_valid[b, held:].any()
        assert (request.sessions[b][~request.sess_valid[b]] == 0).all()


def test_the_input_list_is_the_first_candidates(tables):
    batch = Gatherer(tables).gather(np.arange(8))

    counts = [int(n) for n in tables.shown_count[:8]]
    assert len(set(counts)) > 1
    expected = [[j if j < count else 0 for j in range(4)] for count in counts]
    assert input_list(batch.request).tolist() == expected


def test_cut_lists_are_prefixes_and_lose_the_labels_behind(tables):
    rows = tables.rows_of(TRAIN)
    gather = Gatherer(tables).gather
    whole = gather(rows)

    cut = gather(rows, prefix_share=0.5, rng=torch.Generator().manual_seed(1))

    lengths, full = cut.request.slot_valid.sum(1), whole.request.slot_valid.sum(1)
    assert (lengths >= 1).all()
    assert (lengths <= full).all()
    # a row is shortened with probability 1/2 * (1 - 1/full), and full is 4 on most rows
    assert 0.25 < (lengths < full).float().mean() < 0.5
    valid = cut.request.slot_valid
    assert torch.equal(cut.clicks[valid], whole.clicks[valid])
    assert (cut.clicks[~valid] == 0).all()
    assert not cut.conversion_known[~valid].any()
    assert torch.equal(cut.request.candidates, whole.request.candidates)


def test_forgotten_ids_become_the_unknown_row_and_nothing_else_moves(tables):
    rows = tables.rows_of(TRAIN)
    gather = Gatherer(tables).gather
    whole = gather(rows).request

    some = gather(rows, unknown_share=0.2, rng=torch.Generator().manual_seed(1)).request

    schema = tables.schema
    changed = some.candidates[..., 0] != whole.candidates[..., 0]
    assert 0.15 < changed.sum() / whole.cand_valid.sum() < 0.25
    assert set(some.candidates[..., 0][changed].tolist()) == {schema.first_row[ITEM_ID] + 1}
    moved = some.user[:, 0] != whole.user[:, 0]
    assert 0.1 < moved.float().mean() < 0.3
    assert set(some.user[:, 0][moved].tolist()) == {schema.first_row[USER_ID] + 1}
    assert torch.equal(some.candidates[..., 1:], whole.candidates[..., 1:])
    assert (some.candidates[~whole.cand_valid] == 0).all()


def test_drawing_without_a_generator_is_refused(tables):
    with pytest.raises(ValueError, match="give rng"):
        Gatherer(tables).gather(np.array([0, 1]), prefix_share=0.1)


def test_unknown_conversions_are_not_known_and_count_as_zero(tables):
    rows = np.flatnonzero(tables.conversions[:, 0] < 0)[:3]

    batch = Gatherer(tables).gather(
        np.append(rows, np.flatnonzero(tables.conversions[:, 0] >= 0)[0])
    )

    assert not batch.conversion_known[:3].any()
    assert (batch.conversions[:3] == 0).all()
    assert batch.conversion_known[3, 0]
