from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.contract.encode import Encoder
from model.data import tables as tables_module
from model.data.tables import LogTables, load_tables, prepare
from tests.logs import write_toy_log


def _same(a: LogTables, b: LogTables) -> bool:
    names = [n for n, v in vars(a).items() if isinstance(v, np.ndarray)]
    return all(np.array_equal(getattr(a, n), getattr(b, n)) for n in names)


def test_tables_hold_what_the_log_says(tmp_path: Path):
    log = write_toy_log(tmp_path, files=1, truth=True)
    tables = prepare(log)
    rows = pq.read_table(log / "impressions").to_pylist()
    truth = {r["request_id"]: r for r in pq.read_table(log / "truth.parquet").to_pylist()}
    rows.sort(key=lambda r: (r["timestamp"], r["request_id"]))
    encoder, ids = Encoder(tables.schema), tables.items.ids

    for at, row in enumerate(rows):
        n, m = len(row["candidates"]), len(row["shown"])
        assert tables.request_ids[at] == row["request_id"]
        assert tables.users.ids[tables.user_place[at]] == row["user_id"]
        assert [ids[i] for i in tables.candidates[at, :n]] == row["candidates"]
        shown = [row["candidates"][k] for k in tables.shown[at, :m]]
        assert shown == row["shown"]
        assert tables.clicks[at].tolist() == row["clicks"] + [-1] * (4 - m)
        conversions = row["conversions"] or [-1] * m
        assert tables.conversions[at].tolist() == conversions + [-1] * (4 - m)
        assert tables.candidate_clicks is not None
        told = truth[row["request_id"]]["clicks"]
        assert tables.candidate_clicks[at].tolist() == told + [-1] * (12 - n)
        scores = row["upstream_scores"] or [None] * n
        own = encoder.encode_candidate_scope(
            np.asarray(scores, dtype=np.float64), np.ones(n, bool), {"distance": row["distance"]}
        )
        assert tables.candidate_rows[at, :n].tolist() == own.tolist()
        assert (tables.candidate_rows[at, n:] == 0).all()
        assert tables.user_rows[at, -1] == encoder.encode_field("device", [row["device"]])[0, 0]
    assert (tables.max_candidates, tables.slots, tables.list_size) == (12, 4, 4)
    assert tables.columns == {"candidates": 8, "sessions": 7, "user": 3}
    assert tables.items.display["title"][3].startswith("Item 3 by ")


def test_the_order_of_rows_and_files_changes_nothing(tmp_path: Path):
    plain = prepare(write_toy_log(tmp_path / "a", files=1))
    log = write_toy_log(tmp_path / "b", files=3)
    for path in (log / "impressions").iterdir():
        table = pq.read_table(path)
        mixed = np.random.default_rng(0).permutation(len(table))
        pq.write_table(table.take(pa.array(mixed)), path)

    assert _same(plain, prepare(log))


def test_rows_encoded_in_chunks_are_those_encoded_at_once(tmp_path, monkeypatch):
    log = write_toy_log(tmp_path)
    whole = prepare(log)
    monkeypatch.setattr("model.data.request_arrays._CHUNK", 7)

    assert _same(whole, prepare(log))


def test_prepared_tables_are_reused_only_while_log_and_history_stay(tmp_path, monkeypatch):
    log = write_toy_log(tmp_path)
    made: list[int] = []

    def counted(folder: Path, *, sessions: int) -> LogTables:
        made.append(sessions)
        return prepare(folder, sessions=sessions)

    monkeypatch.setattr(tables_module, "prepare", counted)
    first = load_tables(log)
    again = load_tables(log)
    assert made == [10]
    assert _same(first, again)
    assert first.schema.hash == again.schema.hash
    assert first.info == again.info
    assert isinstance(again.candidates, np.memmap)

    load_tables(log, sessions=3)
    assert made == [10, 3]
    (log / "log.toml").write_text('name = "other"\n')
    assert load_tables(log, sessions=3).info.name == "other"
    assert made == [10, 3, 3]


@pytest.mark.parametrize("broken", ["meta.json", "candidates.npy", "items.npz"])
def test_prepared_tables_that_are_not_whole_are_prepared_again(tmp_path, broken: str):
    log = write_toy_log(tmp_path)
    plain = load_tables(log)
    path = log / "prepared" / broken
    path.write_bytes(path.read_bytes()[:40])

    assert _same(plain, load_tables(log))


def test_a_log_without_log_toml_is_split_by_time_and_named_after_its_folder(tmp_path: Path):
    log = write_toy_log(tmp_path / "shop")
    (log / "log.toml").unlink()

    tables = prepare(log)

    assert (tables.info.name, tables.info.split, tables.info.simulated) == ("shop", "time", False)
    assert np.bincount(tables.part).tolist() == [160, 20, 20]
