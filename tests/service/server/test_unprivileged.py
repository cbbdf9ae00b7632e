"""The service as an orchestrator runs it: nobody's rights, nothing to write to."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.asking import body_of
from tests.service.serving import own_environment
from tests.tiny_artifact import ROOT

NOBODY = 65534
# Before anything of ours runs: no file may grow by a byte (the kernel's own limit, so that it holds
# for native code too; pipes and sockets are free of it), and no rights are left. Imported before,
# because a test's interpreter may lie where only its own user may read.
LAUNCH = f"""
import os, resource, sys
from pathlib import Path
from service.inference.artifact_reader import read_artifact
import service.server.launch
from model.contract.kernels.compilation import compile_kernels, select_implementation
from service.cli.serve import serve_command
read_artifact(Path(os.environ["RERANK_ARTIFACT_DIR"]))  # codecs that are imported when first used
if select_implementation("auto") == "numba":
    compile_kernels()  # imports what a compilation needs
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
if os.getuid() == 0:
    os.setgroups([])
    os.setgid({NOBODY})
    os.setuid({NOBODY})
serve_command()
"""


@pytest.fixture
def place(artifact_folder: Path) -> Iterator[Path]:
    """A folder that anybody may read and nobody may write; pytest's own are private to its user."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in artifact_folder.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
            (folder / file.name).chmod(0o444)
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)


def test_it_serves_as_an_unprivileged_user_from_a_read_only_folder_and_writes_no_file(
    place: Path, artifact
) -> None:
    before = sorted(place.iterdir())
    environment = own_environment(artifact_dir=place, port=0, request_budget_ms=900) | {
        "HOME": str(place),
        "TMPDIR": str(place),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCH],
        env=environment,
        cwd=place,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        told: dict[str, dict[str, Any]] = {}
        lines: list[str] = []
        try:
            while "ready" not in told:
                line = process.stderr.readline()
                assert line, lines
                lines.append(line)
                assert line.startswith("{"), line + process.stderr.read()
                told[json.loads(line)["event"]] = json.loads(line)
            status = Path(f"/proc/{process.pid}/status").read_text()
            url = f"http://127.0.0.1:{told['listening']['port']}"
            answer = httpx.post(f"{url}/rerank", json=body_of(artifact), timeout=10.0)
        finally:
            process.terminate()
        assert process.wait(timeout=15) == 0

    assert answer.status_code == 200
    assert answer.json()["lists_evaluated"] == 9
    [uids] = [line.split()[1:] for line in status.splitlines() if line.startswith("Uid:")]
    assert set(uids) == {str(NOBODY if os.getuid() == 0 else os.getuid())}
    assert sorted(place.iterdir()) == before
    assert not stat.S_IMODE(place.stat().st_mode) & 0o222
