import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.contract.encode import Encoder
from model.contract.errors import BlobError
from model.contract.items import ItemTable
from model.contract.noise import request_noise
from model.contract.schema import Scope
from model.contract.store_layout import unpack_user
from model.contract.user_stream import StreamHead, read_head, read_users, write_users
from model.data.arrays import gather_arrays
from model.data.handover import golden_inputs, write_handover
from model.data.split import TEST, VALIDATION
from model.data.tables import LogTables, prepare
from tests.logs import write_toy_log


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[LogTables, Path]:
    log = write_toy_log(tmp_path_factory.mktemp("log"), truth=True)
    folder = tmp_path_factory.mktemp("made") / "checkpoint"
    tables = prepare(log, sessions=5)
    write_handover(tables, log, folder, seed=7, edits=2, noise_scale=0.5)
    return tables, folder


def _lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "requests.jsonl").read_text().splitlines()]


def _serve(
    tables: LogTables, items: ItemTable, blob: bytes, body: dict[str, Any]
) -> dict[str, Any]:
    """What a service makes of one request and one blob, from the contract alone."""
    encoder, columns = Encoder(tables.schema), body["candidates"]
    valid = np.ones(len(columns["item_id"]), dtype=bool)
    of_items = items.padded_rows[items.places(columns["item_id"])]
    scores = np.asarray(columns["score"], dtype=np.float64) if "score" in columns else None
    own = encoder.encode_candidate_scope(scores, valid, columns["features"])
    record = unpack_user(blob, tables.schema.hash)
    context = {name: [value] for name, value in body["context"].items()}
    past = items.padded_rows[items.places_of_keys(record.item_keys)]
    feedback = encoder.encode_feedback(record.clicked, record.converted)
    valid_past = record.clicked >= 0
    sessions = np.where(valid_past[..., None], np.concatenate([past, feedback], axis=-1), 0)
    return {
        "candidates": np.concatenate([of_items, own], axis=-1),
        "user": np.concatenate([record.columns, encoder.encode_context(1, context)[0]]),
        "sessions": sessions,
        "sess_valid": valid_past,
    }


def test_a_served_line_gives_the_arrays_that_training_saw(made):
    tables, folder = made
    items, blobs = ItemTable.read(folder / "items.npz"), dict(read_users(folder / "users.bin"))
    firsts = len(np.unique(tables.user_place[tables.rows_of(TEST)]))
    lines = _lines(folder)[:firsts]
    held = set()

    for line in lines:
        body = line["request"]
        row = np.flatnonzero(tables.request_ids == body["request_id"])
        expected = gather_arrays(tables, row)
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


def test_lines_are_test_rows_each_user_first_and_carry_all_labels(made):
    tables, folder = made
    lines = _lines(folder)
    test = tables.rows_of(TEST)

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


def test_every_user_has_a_blob_of_the_schema(made):
    tables, folder = made
    path = folder / "users.bin"

    found = list(read_users(path))

    assert read_head(path) == StreamHead(schema_hash=tables.schema.hash, users=len(found))
    assert [user_id for user_id, _ in found] == list(tables.users.ids)
    for place, (_, blob) in enumerate(found):
        record = unpack_user(blob, tables.schema.hash)
        assert record.columns.tolist() == tables.users.rows[place].tolist()


def test_a_truncated_or_overlong_stream_of_users_is_refused(made, tmp_path):
    _, folder = made
    whole = (folder / "users.bin").read_bytes()
    for name, broken in (("short", whole[:-1]), ("long", whole + b"x"), ("other", b"ZZ" + whole)):
        (tmp_path / name).write_bytes(broken)
        with pytest.raises(BlobError):
            list(read_users(tmp_path / name))


def test_a_stream_cut_between_two_users_is_refused(tmp_path):
    write_users(tmp_path / "users.bin", "00" * 8, [("ü1", b"first"), ("u2", b"second")])
    whole = (tmp_path / "users.bin").read_bytes()
    last = 2 + len("u2") + 4 + len(b"second")
    assert list(read_users(tmp_path / "users.bin")) == [("ü1", b"first"), ("u2", b"second")]

    (tmp_path / "cut.bin").write_bytes(whole[:-last])

    with pytest.raises(BlobError, match="too early"):
        list(read_users(tmp_path / "cut.bin"))


def test_golden_inputs_are_validation_rows_with_input_lists_and_seeded_noise(made):
    tables, folder = made
    with np.load(folder / "golden_inputs.npz", allow_pickle=False) as file:
        golden = {name: file[name] for name in file.files}
    rows = tables.rows_of(VALIDATION)[:256]

    expected = gather_arrays(tables, rows)
    again = golden_inputs(tables, seed=7, edits=2, noise_scale=0.5)

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


def test_the_toy_log_has_a_context_field_so_that_serving_it_is_tested(made):
    assert [f.name for f in made[0].schema.of(Scope.CONTEXT)] == ["device"]
