from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.contract.encoding.encoder import FeatureEncoder
from model.data.tables import table_cache as tables_module
from model.data.tables.table_cache import LogTables, build_log_tables, load_log_tables
from tests.toy_log import write_toy_log


def _same(a: LogTables, b: LogTables) -> bool:
    names = [n for n, v in vars(a).items() if isinstance(v, np.ndarray)]
    return all(np.array_equal(getattr(a, n), getattr(b, n)) for n in names)


def test_log_tables_match_log_rows(tmp_path: Path):
    log = write_toy_log(tmp_path, files=1, all_labels=True)
    tables = build_log_tables(log)
    rows = pq.read_table(log / "impressions").to_pylist()
    truth = {r["request_id"]: r for r in pq.read_table(log / "truth.parquet").to_pylist()}
    rows.sort(key=lambda r: (r["timestamp"], r["request_id"]))
    encoder, ids = FeatureEncoder(tables.schema), tables.items.ids

    for at, row in enumerate(rows):
        n, m = len(row["candidates"]), len(row["shown"])
        assert tables.request_ids[at] == row["request_id"]
        assert tables.users.ids[tables.user_index[at]] == row["user_id"]
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
    assert tables.input_widths == {"candidates": 8, "sessions": 7, "user": 3}
    assert tables.items.display["title"][3].startswith("Item 3 by ")


def test_log_tables_ignore_row_and_file_order(tmp_path: Path):
    plain = build_log_tables(write_toy_log(tmp_path / "a", files=1))
    log = write_toy_log(tmp_path / "b", files=3)
    for path in (log / "impressions").iterdir():
        table = pq.read_table(path)
        mixed = np.random.default_rng(0).permutation(len(table))
        pq.write_table(table.take(pa.array(mixed)), path)

    assert _same(plain, build_log_tables(log))


def test_log_tables_chunked_encoding_equals_whole(tmp_path, monkeypatch):
    log = write_toy_log(tmp_path)
    whole = build_log_tables(log)
    monkeypatch.setattr("model.data.tables.encoded_columns._CHUNK", 7)

    assert _same(whole, build_log_tables(log))


def test_load_log_tables_reuses_only_matching_cache(tmp_path, monkeypatch):
    log = write_toy_log(tmp_path)
    made: list[int] = []

    def counted(folder: Path, *, history_length: int) -> LogTables:
        made.append(history_length)
        return build_log_tables(folder, history_length=history_length)

    monkeypatch.setattr(tables_module, "build_log_tables", counted)
    first = load_log_tables(log)
    again = load_log_tables(log)
    assert made == [10]
    assert _same(first, again)
    assert first.schema.hash == again.schema.hash
    assert first.info == again.info
    assert isinstance(again.candidates, np.memmap)

    load_log_tables(log, history_length=3)
    assert made == [10, 3]
    (log / "log.toml").write_text('name = "other"\n')
    assert load_log_tables(log, history_length=3).info.name == "other"
    assert made == [10, 3, 3]


@pytest.mark.parametrize("broken", ["meta.json", "candidates.npy", "items.npz"])
def test_load_log_tables_incomplete_cache_is_rebuilt(tmp_path, broken: str):
    log = write_toy_log(tmp_path)
    plain = load_log_tables(log)
    path = log / "prepared" / broken
    path.write_bytes(path.read_bytes()[:40])

    assert _same(plain, load_log_tables(log))


def test_read_log_info_without_file_uses_defaults(tmp_path: Path):
    log = write_toy_log(tmp_path / "shop")
    (log / "log.toml").unlink()

    tables = build_log_tables(log)

    assert (tables.info.name, tables.info.split, tables.info.simulated) == ("shop", "time", False)
    assert np.bincount(tables.part).tolist() == [160, 20, 20]
