from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.contract.encoding.encoder import FeatureEncoder
from model.contract.errors import UserRecordError
from model.contract.schema.declared import FieldScope
from model.contract.schema.item_table import ItemTable
from model.contract.scoring.noise import request_noise
from model.contract.store.user_record import unpack_user_record
from model.contract.store.user_stream import (
    UserStreamHeader,
    read_user_stream,
    read_user_stream_header,
    write_user_stream,
)
from model.contract.text_files import read_json_lines
from model.data.serving_bundle import build_golden_inputs, write_serving_bundle
from model.data.tables.numpy_batches import gather_request_arrays
from model.data.tables.split import TEST, VALIDATION
from model.data.tables.table_cache import LogTables, build_log_tables
from tests.toy_log import write_toy_log


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[LogTables, Path]:
    log = write_toy_log(tmp_path_factory.mktemp("log"), all_labels=True)
    folder = tmp_path_factory.mktemp("made") / "checkpoint"
    tables = build_log_tables(log, history_length=5)
    write_serving_bundle(tables, log, folder, seed=7, edits=2, noise_scale=0.5)
    return tables, folder


def _lines(folder: Path) -> list[dict[str, Any]]:
    return list(read_json_lines(folder / "requests.jsonl"))


def _serve(
    tables: LogTables, items: ItemTable, blob: bytes, body: dict[str, Any]
) -> dict[str, Any]:
    """What a service makes of one request and one blob, from the contract alone."""
    encoder, columns = FeatureEncoder(tables.schema), body["candidates"]
    valid = np.ones(len(columns["item_id"]), dtype=bool)
    of_items = items.rows_with_default[items.row_indices(columns["item_id"])]
    scores = np.asarray(columns["score"], dtype=np.float64) if "score" in columns else None
    own = encoder.encode_candidate_scope(scores, valid, columns["features"])
    record = unpack_user_record(blob, tables.schema.hash)
    context = {name: [value] for name, value in body["context"].items()}
    past = items.rows_with_default[items.row_indices_of_keys(record.item_keys)]
    feedback = encoder.encode_feedback(record.clicked, record.converted)
    valid_past = record.clicked >= 0
    sessions = np.where(valid_past[..., None], np.concatenate([past, feedback], axis=-1), 0)
    return {
        "candidates": np.concatenate([of_items, own], axis=-1),
        "user": np.concatenate([record.user_columns, encoder.encode_context(1, context)[0]]),
        "sessions": sessions,
        "sess_valid": valid_past,
    }


def test_example_request_encodes_like_training_row(made):
    tables, folder = made
    items, blobs = (
        ItemTable.read(folder / "items.npz"),
        dict(read_user_stream(folder / "users.bin")),
    )
    firsts = len(np.unique(tables.user_index[tables.part_rows(TEST)]))
    lines = _lines(folder)[:firsts]
    held = set()

    for line in lines:
        body = line["request"]
        row = np.flatnonzero(tables.request_ids == body["request_id"])
        expected = gather_request_arrays(tables, row)
        served = _serve(tables, items, blobs[body["user_id"]], body)
        n, h = len(served["candidates"]), len(served["sessions"])
        held.add(h)
        assert served["candidates"].tolist() == expected.candidates[0, :n].tolist()
        assert not expected.cand_valid[0, n:].any()
        assert served["user"].tolist() == expected.user[0].tolist()
        assert served["sessions"].tolist() == expected.sessions[0, :h].tolist()
        assert served["sess_valid"].tolist() == expected.sess_valid[0, :h].tolist()
        assert not expected.sess_valid[0, h:].any()
    assert max(held) == 5, "no user with a full history: the comparison would be empty"
    assert firsts > 5


def test_example_requests_order_users_and_include_labels(made):
    tables, folder = made
    lines = _lines(folder)
    test = tables.part_rows(TEST)

    assert len(lines) == len(test)
    users = [line["request"]["user_id"] for line in lines]
    firsts = len(set(users))
    assert len(set(users[:firsts])) == firsts
    for line in lines:
        row = int(np.flatnonzero(tables.request_ids == line["request"]["request_id"])[0])
        n, labels = int(tables.cand_count[row]), line["labels"]
        assert row in test
        ids = line["request"]["candidates"]["item_id"]
        assert labels["clicks"] == tables.candidate_clicks[row, :n].tolist()
        clicks = dict(zip(ids, labels["clicks"], strict=True))
        assert [clicks[i] for i in labels["shown"]] == labels["shown_clicks"]


def test_user_records_cover_users_and_match_schema(made):
    tables, folder = made
    path = folder / "users.bin"

    found = list(read_user_stream(path))

    assert read_user_stream_header(path) == UserStreamHeader(
        schema_hash=tables.schema.hash, user_count=len(found)
    )
    assert [user_id for user_id, _ in found] == list(tables.users.ids)
    for place, (_, blob) in enumerate(found):
        record = unpack_user_record(blob, tables.schema.hash)
        assert record.user_columns.tolist() == tables.users.rows[place].tolist()


def test_user_stream_with_wrong_length_is_rejected(made, tmp_path):
    _, folder = made
    whole = (folder / "users.bin").read_bytes()
    for name, broken in (("short", whole[:-1]), ("long", whole + b"x"), ("other", b"ZZ" + whole)):
        (tmp_path / name).write_bytes(broken)
        with pytest.raises(UserRecordError):
            list(read_user_stream(tmp_path / name))


def test_user_stream_cut_between_users_is_rejected(tmp_path):
    write_user_stream(tmp_path / "users.bin", "00" * 8, [("ü1", b"first"), ("u2", b"second")])
    whole = (tmp_path / "users.bin").read_bytes()
    last = 2 + len("u2") + 4 + len(b"second")
    assert list(read_user_stream(tmp_path / "users.bin")) == [("ü1", b"first"), ("u2", b"second")]

    (tmp_path / "cut.bin").write_bytes(whole[:-last])

    with pytest.raises(UserRecordError, match="too early"):
        list(read_user_stream(tmp_path / "cut.bin"))


def test_golden_inputs_match_validation_rows_and_noise(made):
    tables, folder = made
    with np.load(folder / "golden_inputs.npz", allow_pickle=False) as file:
        golden = {name: file[name] for name in file.files}
    rows = tables.part_rows(VALIDATION)[:256]

    expected = gather_request_arrays(tables, rows)
    again = build_golden_inputs(tables, seed=7, edits=2, noise_scale=0.5)

    assert golden["candidates"].tobytes() == np.ascontiguousarray(expected.candidates).tobytes()
    assert golden["start"].tolist() == [[0, 1, 2, 3]] * len(rows)
    assert golden["editable"].all()
    one = request_noise(seed=8, lists=8, edits=2, slots=4, candidates=12, scale=0.5)
    assert golden["noise_slot"][1].tobytes() == one[0].tobytes()
    assert golden["noise_item"][1].tobytes() == one[1].tobytes()
    assert (golden["noise_slot"][0, 1] != golden["noise_slot"][1, 1]).any()
    assert all(golden[name].tobytes() == again[name].tobytes() for name in golden)
    assert set(golden) == {
        *("candidates", "cand_valid", "slot_valid", "user", "sessions", "sess_valid"),
        *("start", "editable", "noise_slot", "noise_item"),
    }


def test_toy_log_declares_context_field(made):
    assert [f.name for f in made[0].schema.fields_in_scopes(FieldScope.CONTEXT)] == ["device"]


def test_example_requests_keep_unicode_line_separators(tmp_path: Path):
    log = write_toy_log(tmp_path / "log")
    table = pq.read_table(log / "items.parquet")
    ids = pa.array(
        ["i\u2028 \u0085x" if name == "i0" else name for name in table["item_id"].to_pylist()]
    )
    pq.write_table(table.set_column(0, "item_id", ids), log / "items.parquet")
    for path in (log / "impressions").iterdir():
        table = pq.read_table(path)
        for column in ("candidates", "shown"):
            lists = [
                ["i\u2028 \u0085x" if i == "i0" else i for i in x]
                for x in table[column].to_pylist()
            ]
            table = table.set_column(table.column_names.index(column), column, pa.array(lists))
        pq.write_table(table, path)
    tables = build_log_tables(log, history_length=5)

    write_serving_bundle(tables, log, tmp_path / "bundle", seed=7, edits=2, noise_scale=0.5)

    lines = _lines(tmp_path / "bundle")
    assert len(lines) == len(tables.part_rows(TEST))
    assert any("i\u2028 \u0085x" in x["request"]["candidates"]["item_id"] for x in lines)
