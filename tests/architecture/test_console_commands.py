"""Every console command that pyproject.toml promises is there and explains itself."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]["scripts"]


@pytest.mark.slow  # four of the commands import torch
@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_console_command_prints_its_help(name):
    module, _, function = SCRIPTS[name].partition(":")
    start = f"import sys; sys.argv = [{name!r}, '--help']; from {module} import {function} as go"
    done = subprocess.run(
        [sys.executable, "-c", f"{start}; sys.exit(go())"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.lower().startswith(f"usage: {name}"), done.stdout
