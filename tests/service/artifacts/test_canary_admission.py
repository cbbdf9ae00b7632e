"""A canary that refuses requests of the current artifact, in a real process with real artifacts."""

import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.inference.artifact_reader import resolve_folder
from tests.service.asking import body_of
from tests.service.serving import Serving

REJECTED = 'rerank_artifact_reloads_total{artifact="canary",outcome="rejected"}'
WITHDRAWN = 'rerank_artifact_reloads_total{artifact="canary",outcome="withdrawn"}'
WIDE_BODY = {"context": {"device": "phone"}}  # refused by the artifact without the field
ENOUGH_MS = 5000  # for a machine that is busy


def point(root: Path, link: str, folder: Path) -> Path:
    """Let a folder's `current` link name an artifact."""
    place = root / link
    place.mkdir(exist_ok=True)
    new = place / "new"
    new.symlink_to(resolve_folder(folder))
    new.replace(place / "current")
    return place


def settings_of(root: Path) -> dict[str, Any]:
    return {
        "canary_dir": root / "canary",
        "request_budget_ms": ENOUGH_MS,
        "max_budget_ms": ENOUGH_MS,
    }


def statuses(serving: Serving, body: dict[str, Any], users: int = 20) -> list[int]:
    """Status of one request of each of these users."""
    with serving.client() as client:
        return [
            client.post("/rerank", json=body | {"user_id": f"user-{n}"}).status_code
            for n in range(users)
        ]


def canary_info(serving: Serving) -> dict[str, Any]:
    return dict(httpx.get(f"{serving.url}/info").json()["canary"])


@pytest.fixture
def wide_body(artifact):
    return body_of(artifact) | WIDE_BODY


def test_canary_without_a_field_is_rejected_at_load(
    artifact_folder, narrow_folder, tmp_path, wide_body
):
    current = point(tmp_path, "current", artifact_folder)
    point(tmp_path, "canary", narrow_folder)
    with Serving(current, canary_share=0.5, **settings_of(tmp_path)) as serving:
        serving.ready()
        assert statuses(serving, wide_body) == [200] * 20
        [event] = [e for e in serving.events if e["event"] == "artifact_rejected"]
        info = canary_info(serving)

        assert event["role"] == "canary"
        for reason in (event["reason"], info["rejection"]):
            assert "context.device: no field of the canary" in reason
            assert "candidates.features.distance: no field of the canary" in reason
        assert info["artifact"] is None
        assert serving.metric(REJECTED) == 1

        point(tmp_path, "canary", artifact_folder)
        serving.process.send_signal(signal.SIGHUP)
        while serving.wait_for("artifact_activated")["role"] != "canary":
            pass
        assert canary_info(serving)["rejection"] is None


def test_canary_is_withdrawn_when_the_current_artifact_outgrows_it(
    artifact_folder, narrow_folder, tmp_path, wide_body
):
    current = point(tmp_path, "current", narrow_folder)
    point(tmp_path, "canary", narrow_folder)
    with Serving(current, canary_share=1.0, **settings_of(tmp_path)) as serving:
        serving.ready()
        assert canary_info(serving)["artifact"] is not None

        point(tmp_path, "current", artifact_folder)
        serving.process.send_signal(signal.SIGHUP)
        withdrawn = serving.wait_for("artifact_withdrawn")
        assert statuses(serving, wide_body, users=5) == [200] * 5
        rejected = serving.wait_for("artifact_rejected")

        assert "context.device: no field of the canary" in withdrawn["reason"]
        assert rejected["role"] == "canary"
        assert canary_info(serving)["artifact"] is None
        assert (serving.metric(WITHDRAWN), serving.metric(REJECTED)) == (1, 1)
        assert (
            'rerank_artifact_info{artifact="canary"' not in httpx.get(f"{serving.url}/metrics").text
        )


def test_canary_in_shadow_may_lack_a_field(artifact_folder, narrow_folder, tmp_path, wide_body):
    current = point(tmp_path, "current", artifact_folder)
    point(tmp_path, "canary", narrow_folder)
    with Serving(current, canary_shadow=True, **settings_of(tmp_path)) as serving:
        serving.ready()

        assert statuses(serving, wide_body, users=5) == [200] * 5
        assert canary_info(serving)["artifact"] is not None
        assert serving.metric('rerank_shadow_total{outcome="failed"}') > 0
