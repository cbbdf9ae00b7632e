"""The client printed in docs/how-to/call-the-service.md, run against a real process."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from service.inference.artifact_reader import Artifact
from tests.service.serving import Serving

README = Path(__file__).parents[2] / "docs" / "how-to" / "call-the-service.md"
PRINTED = "http://localhost:8000"

pytestmark = pytest.mark.slow


def client_of_the_readme(url: str) -> dict[str, Any]:
    code = next(
        block
        for block in re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
        if PRINTED in block
    )
    # a test machine may be busy: only the address and the client's patience are changed
    code = code.replace(PRINTED, url).replace("timeout=0.08", "timeout=5.0")
    names: dict[str, Any] = {}
    exec(compile(code, str(README), "exec"), names)  # our own documentation
    return names


def test_the_client_of_the_readme_gets_a_list_and_falls_back_to_the_input_order(
    artifact_folder: Path, artifact: Artifact
):
    ids = list(artifact.items.ids[:8])
    scores = [float(8 - place) for place in range(8)]
    with Serving(artifact_folder, request_budget_ms=900, feature_budget_ms=500) as serving:
        serving.ready()
        names = client_of_the_readme(serving.url)

        served = names["rerank"]("somebody", ids, scores, 3)
        refused = names["rerank"]("somebody", [*ids, ids[0]], scores, 3)

        assert len(set(served)) == 3
        assert set(served) <= set(ids)
        assert refused == ids[:3]  # a duplicate candidate is 422: the upstream order stands
    assert names["rerank"]("somebody", ids, scores, 3) == ids[:3]  # nobody answers any more
    names["service"].close()
