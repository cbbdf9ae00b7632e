"""Records that can be read but do not fit the schema: the default user, never a failed graph."""

import time
from dataclasses import replace

import numpy as np
import pytest
from prometheus_client import REGISTRY

from model.contract.store.user_record import pack_user_record, unpack_user_record
from service.features.memory_user_store import MemoryUserStore
from service.rerank.arrays import encode_sessions
from service.rerank.limits import Limits
from service.rerank.model import ModelHolder
from service.rerank.reranker import Reranker
from service.rerank.trial import Trial
from tests.service.asking import USER, ask, body_of, model_of, reranker_of, user_blob


def skipped_in_shadow() -> float:
    return REGISTRY.get_sample_value("rerank_shadow_total", {"outcome": "skipped"}) or 0.0


def unreadable() -> float:
    return REGISTRY.get_sample_value("rerank_store_seconds_count", {"outcome": "unreadable"}) or 0.0


def with_columns(artifact, change):
    """The known user's blob with other encoded columns; `transform_model` gets them and the table's rows."""
    schema_hash = artifact.manifest.schema_hash
    record = unpack_user_record(user_blob(artifact), schema_hash)
    columns = change(record.user_columns.copy(), artifact.manifest.features.num_embeddings)
    return pack_user_record(replace(record, user_columns=columns.astype(np.int32)), schema_hash)


@pytest.mark.parametrize(
    "change",
    [
        lambda columns, rows: columns[:-1],
        lambda columns, rows: columns[:0],
        lambda columns, rows: np.append(columns, columns[-1]),
        lambda columns, rows: np.append(columns[:-1], rows),
        lambda columns, rows: np.append(columns[:-1], -1),
    ],
    ids=["one too few", "none", "one too many", "row behind the table", "row before the table"],
)
async def test_a_record_that_does_not_fit_the_schema_is_served_as_the_default_user(
    artifact, worker, change
):
    blobs = {USER: user_blob(artifact), "odd": with_columns(artifact, change)}
    store = MemoryUserStore(blobs, schema_hash=artifact.manifest.schema_hash)
    reranker = reranker_of(model_of(artifact, store), worker)

    stranger = await ask(reranker, body_of(artifact, user_id="nobody"))
    before = unreadable()
    odd = await ask(reranker, body_of(artifact, user_id="odd"))
    assert unreadable() == before + 1
    known = await ask(reranker, body_of(artifact))

    assert odd["degraded"] == ["user_features"]
    assert odd["items"] == stranger["items"]
    assert known["degraded"] == []


async def test_the_last_row_of_the_table_still_fits(artifact, worker):
    last = with_columns(artifact, lambda columns, rows: np.append(columns[:-1], rows - 1))
    store = MemoryUserStore({USER: last}, schema_hash=artifact.manifest.schema_hash)

    answer = await ask(reranker_of(model_of(artifact, store), worker), body_of(artifact))

    assert answer["degraded"] == []


async def test_a_record_that_does_not_fit_is_not_held_against_a_candidate_in_shadow(
    artifact, worker
):
    odd = with_columns(artifact, lambda columns, rows: columns[:-1])
    store = MemoryUserStore({USER: odd}, schema_hash=artifact.manifest.schema_hash)
    candidate = ModelHolder()
    candidate.swap(model_of(artifact, store, role="canary"))
    trial = Trial(candidate, Limits(), share=0.0, shadow=True, clock=time.monotonic)
    current = reranker_of(model_of(artifact), worker).models
    skipped = skipped_in_shadow()

    await ask(Reranker(current, worker, Limits(), trial), body_of(artifact))
    await trial.finish()

    assert skipped_in_shadow() == skipped + 1


def test_a_history_that_just_fills_the_graphs_is_encoded_as_the_newest_part_of_a_longer_one(
    artifact,
):
    model = model_of(artifact)
    lengths, table = artifact.manifest.lengths, artifact.items
    longer = unpack_user_record(
        user_blob(artifact, lengths.sessions + 2), artifact.manifest.schema_hash
    )
    feedback = longer.clicked.copy()
    feedback[0, -1] = feedback[1, 1:] = -1  # lists of other lengths
    longer = replace(longer, clicked=feedback)
    fills = replace(
        longer,
        item_keys=longer.item_keys[: lengths.sessions],
        clicked=longer.clicked[: lengths.sessions],
        converted=longer.converted[: lengths.sessions],
    )
    shorter = replace(
        fills,
        item_keys=fills.item_keys[:2],
        clicked=fills.clicked[:2],
        converted=fills.converted[:2],
    )

    def encoded(record, vary):
        return encode_sessions(record, model.encoder, table, lengths, vary=vary)

    rows, valid = encoded(fills, vary=False)

    assert not valid.all()
    for record, vary in ((fills, True), (longer, False), (longer, True)):
        same_rows, same_valid = encoded(record, vary)
        assert (same_rows.dtype, same_valid.dtype) == (rows.dtype, valid.dtype)
        assert same_rows.tolist() == rows.tolist()
        assert same_valid.tolist() == valid.tolist()
    some_rows, some_valid = encoded(shorter, vary=False)
    assert some_rows[:2].tolist() == rows[:2].tolist()
    assert not some_valid[2:].any()
    assert not some_rows[2:].any()
    own_rows, own_valid = encoded(shorter, vary=True)
    assert own_rows.tolist() == rows[:2].tolist()
    assert own_valid.tolist() == valid[:2].tolist()


def test_a_user_without_history_brings_two_empty_sessions_where_graphs_take_what_there_is(artifact):
    model, lengths = model_of(artifact), artifact.manifest.lengths
    newcomer = unpack_user_record(user_blob(artifact, 0), artifact.manifest.schema_hash)

    for record in (newcomer, None):
        rows, valid = encode_sessions(record, model.encoder, artifact.items, lengths, vary=True)
        assert valid.tolist() == [[False] * lengths.session_slots] * 2
        assert not rows.any()
