"""The service encodes a logged request to the same arrays as training."""

import json

import numpy as np
import pytest

from model.contract.artifact.manifest import GraphSizes
from model.contract.encoding.encoder import FeatureEncoder
from model.contract.schema.item_table import ItemTable
from model.contract.wire.request import parse_request
from model.data.serving_bundle import ITEMS_NPZ, REQUESTS_JSONL, USERS_BIN, write_serving_bundle
from model.data.serving_bundle_requests import example_request_rows
from model.data.tables.numpy_batches import gather_request_arrays
from model.data.tables.table_builder import build_log_tables
from service.features.memory_user_store import MemoryUserStore
from service.rerank.request_encoding import encode_candidates, encode_sessions, encode_user
from tests.toy_log import enable_raw_scores, write_toy_log

NAMES = ("candidates", "user", "sessions", "sess_valid")


@pytest.fixture(scope="module", params=["score and rank", "raw score"])
def log(tmp_path_factory, request):
    folder = write_toy_log(tmp_path_factory.mktemp("log"), requests=300)
    if request.param == "raw score":
        enable_raw_scores(folder)
    return folder


async def test_service_encodes_a_logged_request_as_training(log, tmp_path):
    tables = build_log_tables(log)
    write_serving_bundle(tables, log, tmp_path, seed=1, edits=4, noise_scale=1.0)
    table = ItemTable.read(tmp_path / ITEMS_NPZ)
    encoder = FeatureEncoder(tables.schema)
    store = MemoryUserStore.from_file(tmp_path / USERS_BIN, schema_hash=tables.schema.hash)
    lengths = GraphSizes(
        max_candidates=500,
        slots=tables.slots,
        sessions=tables.history_length,
        session_slots=tables.slots,
        edits=4,
        default_list_size=tables.slots,
        list_sizes=[tables.slots],
    )
    rows = example_request_rows(tables)
    rows = rows[: len(np.unique(tables.user_index[rows]))]  # each user's first test row
    lines = (tmp_path / REQUESTS_JSONL).read_text().splitlines()
    histories = 0

    for row, line in zip(rows, lines, strict=False):
        request = parse_request(json.dumps(json.loads(line)["request"]).encode())
        record = await store.fetch_user(request.user_id, timeout_s=1.0)
        sessions, sess_valid = encode_sessions(record, encoder, table, lengths=lengths, vary=False)
        ours = {
            "candidates": encode_candidates(request, encoder, table).rows,
            "user": encode_user(record, request.body.context, encoder),
            "sessions": sessions,
            "sess_valid": sess_valid,
        }
        trained = gather_request_arrays(tables, np.array([row]))
        expected = {name: getattr(trained, name)[0] for name in NAMES}
        expected["candidates"] = expected["candidates"][: len(request)]
        assert request.body.request_id == tables.request_ids[row]
        for name in NAMES:
            np.testing.assert_array_equal(ours[name], expected[name], err_msg=f"{name} of {row}")
        histories += bool(sess_valid.any())

    assert len(rows) >= 10
    assert histories >= 10  # otherwise hardly any session was compared
