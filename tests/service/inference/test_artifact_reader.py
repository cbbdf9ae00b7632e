"""Artifacts with a fixed number of sessions, as older exports wrote them, give the same answers."""

import json
from pathlib import Path

import onnx
import pytest

from model.contract.artifact.manifest import MANIFEST_FILE, file_sha256, read_manifest
from service.features.memory_user_store import MemoryUserStore
from service.inference.artifact_reader import Artifact, read_artifact
from service.inference.thread_executor import ThreadExecutor
from service.inference.verification import batching_is_exact, verify_artifact
from tests.service.asking import ask, body_of, model_of, reranker_of, user_blob
from tests.tiny_artifact import NET_CONFIGS, tiny_artifact

HISTORY = ("sessions", "sess_valid")


def fix_session_count(folder: Path) -> None:
    """Rewrite graphs, manifest and checksums for a fixed number of sessions, H."""
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    most = manifest["lengths"]["sessions"]
    for graph in manifest["graphs"].values():
        path = folder / graph["file"]
        model = onnx.load(path, load_external_data=False)
        for value in model.graph.input:
            if value.name in HISTORY:
                value.type.tensor_type.shape.dim[1].dim_value = most
        path.write_bytes(model.SerializeToString())
        manifest["checksums"][path.name] = file_sha256(path)
        for taken in graph["inputs"]:
            if taken["name"] in HISTORY:
                taken["shape"][1] = most
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))


@pytest.mark.parametrize("kind", sorted(NET_CONFIGS))
async def test_artifact_with_fixed_sessions_gives_equal_answers(kind: str, tmp_path: Path):
    folder = tiny_artifact(tmp_path, kind)
    answers = []
    for fixed in (False, True):
        if fixed:
            fix_session_count(folder)
        assert read_manifest(folder).has_dynamic_sessions is not fixed
        artifact = read_artifact(folder)
        verify_artifact(artifact)
        artifact.graphs.batchable = batching_is_exact(artifact)
        answers.append(await answers_of(artifact))

    assert answers[0] == answers[1]


async def answers_of(artifact: Artifact) -> list[object]:
    """Items and reward of users with histories of several lengths."""
    users = {f"h{count}": user_blob(artifact, count) for count in (0, 1, 3, 12)}
    store = MemoryUserStore(users, schema_hash=artifact.manifest.schema_hash)
    executor = ThreadExecutor()
    reranker = reranker_of(model_of(artifact, store), executor)
    answers = [await ask(reranker, body_of(artifact, user_id=user)) for user in users]
    executor.close()
    assert len({answer["reward"] for answer in answers}) > 1
    return [(answer["items"], answer["reward"], answer["degraded"]) for answer in answers]
