"""A process serves the same with compiled kernels and with numpy, and reports which it uses."""

import os
import sys
from importlib.util import find_spec
from typing import Any

import httpx
import pytest

from service.server import launch
from tests.service.asking import body_of
from tests.service.serving import Serving

IMPLEMENTATIONS = ["numpy", *(["numba"] if find_spec("numba") is not None else [])]
GENEROUS = {"request_budget_ms": 900}  # the machine of a test run is busy


def answers(client: httpx.Client, artifact) -> list[dict[str, Any]]:
    """Answers without their times."""
    bodies = [
        body_of(artifact, seed=seed, num_lists=num_lists, explain=True)
        for seed in range(4)
        for num_lists in (1, 8)
    ]
    found = []
    for number, body in enumerate(bodies):
        answer = client.post("/rerank", json=body | {"request_id": str(number)}).json()
        assert answer["degraded"] == []
        answer.pop("timings_ms")
        found.append(answer)
    return found


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_process_reports_its_kernels_before_ready(artifact_folder, implementation):
    with Serving(artifact_folder, kernels=implementation) as serving:
        event = serving.wait_for("kernels_ready")
        assert "ready" not in [e["event"] for e in serving.events]
        serving.ready()

        loops = event["compiled"] + event["from_cache"]
        assert event["implementation"] == implementation
        assert (loops > 0) == (implementation == "numba")
        assert httpx.get(f"{serving.url}/info").json()["kernels"] == implementation
        line = f'rerank_kernels_info{{implementation="{implementation}"}}'
        assert serving.metric(line) == 1


def test_every_implementation_gives_the_same_answers(artifact_folder, artifact):
    found = []
    for implementation in ["auto", *IMPLEMENTATIONS]:
        with (
            Serving(artifact_folder, kernels=implementation, **GENEROUS) as serving,
            serving.ready().client() as client,
        ):
            found.append(answers(client, artifact))

    assert all(answer["items"] for answer in found[0])
    assert all(one == found[0] for one in found)


def test_numba_setting_without_package_is_a_settings_error(artifact_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)  # as if it were not installed
    monkeypatch.setenv("RERANK_ARTIFACT_DIR", str(artifact_folder))
    monkeypatch.setenv("RERANK_KERNELS", "numba")

    with pytest.raises(launch.SettingsError, match=r"relist\[fast\]"):
        launch.read_settings()


def test_numba_that_cannot_be_imported_ends_the_process(artifact_folder, tmp_path, monkeypatch):
    (tmp_path / "numba.py").write_text("raise ImportError('needs another numpy')")
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))

    with Serving(artifact_folder) as serving:
        event = serving.wait_for("kernels_unusable")
        assert event["level"] == "error"
        assert serving.process.wait(timeout=30.0) == 1
