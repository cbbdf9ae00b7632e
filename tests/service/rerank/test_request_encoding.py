"""Records that do not match the schema, and the encoding of sessions."""

import time
from dataclasses import replace

import numpy as np
import pytest
from prometheus_client import REGISTRY

from model.contract.store.user_record import pack_user_record, unpack_user_record
from service.features.memory_user_store import MemoryUserStore
from service.rerank.artifact_slot import ArtifactSlot
from service.rerank.canary_rollout import CanaryRollout
from service.rerank.request_encoding import encode_sessions
from service.rerank.request_limits import RequestLimits
from service.rerank.reranker import Reranker
from tests.service.asking import USER, ask, body_of, model_of, reranker_of, user_blob


def skipped_in_shadow() -> float:
    return REGISTRY.get_sample_value("rerank_shadow_total", {"outcome": "skipped"}) or 0.0


def unreadable() -> float:
    return REGISTRY.get_sample_value("rerank_store_seconds_count", {"outcome": "unreadable"}) or 0.0


def with_columns(artifact, change):
    """USER's record with changed columns; `change` gets the columns and the table's row count."""
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
async def test_mismatched_record_is_served_as_the_default_user(artifact, executor, change):
    blobs = {USER: user_blob(artifact), "odd": with_columns(artifact, change)}
    store = MemoryUserStore(blobs, schema_hash=artifact.manifest.schema_hash)
    reranker = reranker_of(model_of(artifact, store), executor)

    unknown = await ask(reranker, body_of(artifact, user_id="unknown"))
    before = unreadable()
    odd = await ask(reranker, body_of(artifact, user_id="odd"))
    assert unreadable() == before + 1
    known = await ask(reranker, body_of(artifact))

    assert odd["degraded"] == ["user_features"]
    assert odd["items"] == unknown["items"]
    assert known["degraded"] == []


async def test_record_with_the_last_table_row_matches(artifact, executor):
    last = with_columns(artifact, lambda columns, rows: np.append(columns[:-1], rows - 1))
    store = MemoryUserStore({USER: last}, schema_hash=artifact.manifest.schema_hash)

    answer = await ask(reranker_of(model_of(artifact, store), executor), body_of(artifact))

    assert answer["degraded"] == []


async def test_mismatched_record_in_shadow_counts_as_skipped(artifact, executor):
    odd = with_columns(artifact, lambda columns, rows: columns[:-1])
    store = MemoryUserStore({USER: odd}, schema_hash=artifact.manifest.schema_hash)
    canary_slot = ArtifactSlot()
    canary_slot.swap(model_of(artifact, store, role="canary"))
    canary = CanaryRollout(
        canary_slot, RequestLimits(), share=0.0, shadow=True, clock=time.monotonic
    )
    current = reranker_of(model_of(artifact), executor).artifact_slot
    skipped = skipped_in_shadow()

    await ask(Reranker(current, executor, RequestLimits(), canary), body_of(artifact))
    await canary.finish()

    assert skipped_in_shadow() == skipped + 1


def test_full_history_equals_the_newest_part_of_longer(
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
    full = replace(
        longer,
        item_keys=longer.item_keys[: lengths.sessions],
        clicked=longer.clicked[: lengths.sessions],
        converted=longer.converted[: lengths.sessions],
    )
    shorter = replace(
        full,
        item_keys=full.item_keys[:2],
        clicked=full.clicked[:2],
        converted=full.converted[:2],
    )

    def encoded(record, vary):
        return encode_sessions(record, model.encoder, table, lengths=lengths, vary=vary)

    rows, valid = encoded(full, vary=False)

    assert not valid.all()
    for record, vary in ((full, True), (longer, False), (longer, True)):
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


def test_user_without_history_has_two_empty_sessions(artifact):
    model, lengths = model_of(artifact), artifact.manifest.lengths
    newcomer = unpack_user_record(user_blob(artifact, 0), artifact.manifest.schema_hash)

    for record in (newcomer, None):
        rows, valid = encode_sessions(
            record, model.encoder, artifact.items, lengths=lengths, vary=True
        )
        assert valid.tolist() == [[False] * lengths.session_slots] * 2
        assert not rows.any()
