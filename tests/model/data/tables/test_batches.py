from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from model.contract.schema.declared import ITEM_ID, USER_ID
from model.data.tables.batches import BatchLoader
from model.data.tables.numpy_batches import gather_request_arrays
from model.data.tables.split import TEST, TRAIN
from model.data.tables.table_cache import LogTables, build_log_tables
from model.nets.request_tensors import input_list
from tests.toy_log import write_toy_log


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> LogTables:
    return build_log_tables(write_toy_log(tmp_path_factory.mktemp("log")), history_length=5)


def test_batch_loader_equals_numpy_bytes(tables):
    rows = np.random.default_rng(0).permutation(len(tables))[:64]

    by_torch = BatchLoader(tables).gather(rows).request
    by_numpy = gather_request_arrays(tables, rows)

    for name, array in by_numpy._asdict().items():
        other = getattr(by_torch, name).numpy()
        assert other.dtype == array.dtype, name
        assert other.tobytes() == np.ascontiguousarray(array).tobytes(), name


def test_batch_loader_permuted_rows_permute_batch(tables):
    rows = np.array([3, 150, 77, 42])
    gather = BatchLoader(tables).gather

    there, back = gather(rows), gather(rows[::-1].copy())

    for a, b in zip(there.request, back.request, strict=True):
        assert torch.equal(a, b.flip(0))
    assert torch.equal(there.shown, back.shown.flip(0))


def test_batch_loader_inputs_do_not_depend_on_labels(tmp_path: Path):
    log = write_toy_log(tmp_path, files=1)
    before = build_log_tables(log, history_length=5)
    victim = _first_with_a_later_row(before)
    _flip_labels(log, str(before.request_ids[victim]))

    after = build_log_tables(log, history_length=5)

    assert not np.array_equal(before.clicks[victim], after.clicks[victim])
    row = np.array([victim])
    for a, b in zip(
        gather_request_arrays(before, row), gather_request_arrays(after, row), strict=True
    ):
        assert a.tobytes() == b.tobytes()
    later = np.flatnonzero(
        (before.user_index == before.user_index[victim])
        & (before.timestamp > before.timestamp[victim])
    )
    a, b = (gather_request_arrays(t, later).sessions for t in (before, after))
    assert not np.array_equal(a, b), "a later row must see the labels, else this test sees nothing"


def _first_with_a_later_row(tables: LogTables) -> int:
    test = tables.part_rows(TEST)
    user = tables.user_index[test]
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


def test_batch_loader_padding_is_row_zero(tables):
    rows = np.flatnonzero(tables.cand_count < tables.max_candidates)[:4]

    request = BatchLoader(tables).gather(rows).request

    for b, row in enumerate(rows):
        n = int(tables.cand_count[row])
        assert request.cand_valid[b].tolist() == [True] * n + [False] * (12 - n)
        assert (request.candidates[b, n:] == 0).all()
        assert (request.candidates[b, :n, 0] > 0).all()
        held = int((tables.sessions[row] >= 0).sum())
        assert not request.sess_valid[b, held:].any()
        assert (request.sessions[b][~request.sess_valid[b]] == 0).all()


def test_input_list_is_first_candidates(tables):
    batch = BatchLoader(tables).gather(np.arange(8))

    counts = [int(n) for n in tables.shown_count[:8]]
    assert len(set(counts)) > 1
    expected = [[j if j < count else 0 for j in range(4)] for count in counts]
    assert input_list(batch.request).tolist() == expected


def test_batch_loader_cut_lists_mask_trailing_labels(tables):
    rows = tables.part_rows(TRAIN)
    gather = BatchLoader(tables).gather
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


def test_batch_loader_unknown_share_replaces_only_ids(tables):
    rows = tables.part_rows(TRAIN)
    gather = BatchLoader(tables).gather
    whole = gather(rows).request

    some = gather(rows, unknown_share=0.2, rng=torch.Generator().manual_seed(1)).request

    schema = tables.schema
    changed = some.candidates[..., 0] != whole.candidates[..., 0]
    assert 0.15 < changed.sum() / whole.cand_valid.sum() < 0.25
    assert set(some.candidates[..., 0][changed].tolist()) == {schema.block_starts[ITEM_ID] + 1}
    moved = some.user[:, 0] != whole.user[:, 0]
    assert 0.1 < moved.float().mean() < 0.3
    assert set(some.user[:, 0][moved].tolist()) == {schema.block_starts[USER_ID] + 1}
    assert torch.equal(some.candidates[..., 1:], whole.candidates[..., 1:])
    assert (some.candidates[~whole.cand_valid] == 0).all()


def test_batch_loader_without_generator_raises(tables):
    with pytest.raises(ValueError, match="need rng"):
        BatchLoader(tables).gather(np.array([0, 1]), prefix_share=0.1)


def test_batch_loader_unknown_conversions_are_masked_zeros(tables):
    rows = np.flatnonzero(tables.conversions[:, 0] < 0)[:3]

    batch = BatchLoader(tables).gather(
        np.append(rows, np.flatnonzero(tables.conversions[:, 0] >= 0)[0])
    )

    assert not batch.conversion_known[:3].any()
    assert (batch.conversions[:3] == 0).all()
    assert batch.conversion_known[3, 0]
