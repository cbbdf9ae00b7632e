"""What is compiled takes its own types, stays inside its arrays, and needs no place to be kept."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model.contract.kernels import all_distinct, look_up_rows

TINY = """
from numba import types
from model.contract.compiled import compiled

@compiled(types.int64(types.int64), types.float64(types.float64))
def doubled(x):
    return 2 * x

print(doubled(21), doubled(.5), len(doubled.signatures), sum(doubled.stats.cache_hits.values()))
"""


def test_other_types_are_refused_and_not_compiled_for_while_a_request_waits():
    with pytest.raises(TypeError, match="No matching definition"):
        all_distinct(np.zeros((2, 3), dtype=np.int64), 3, 9)
    with pytest.raises(TypeError, match="No matching definition"):
        all_distinct(np.zeros((3, 2), dtype=np.int32).T, 3, 9)  # not contiguous


def test_a_place_beyond_the_table_is_an_error_and_no_memory_of_others():
    table, out = np.zeros((3, 2), dtype=np.int32), np.zeros((1, 2), dtype=np.int32)
    none = np.zeros(0, dtype=np.int32)
    look_up_rows(np.array([2]), table, none, out)

    with pytest.raises(IndexError):
        look_up_rows(np.array([3]), table, none, out)


def run_tiny(folder: Path, **environ: str) -> str:
    """The module's words, run with this environment alone beside what Python needs."""
    module = folder / "tiny.py"
    module.write_text(TINY)
    done = subprocess.run(
        [sys.executable, str(module)],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "HOME": str(folder / "no such folder, in a file" / "x"),
            **environ,
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout.strip()


def test_machine_code_is_kept_beside_its_source_and_found_again(tmp_path):
    assert run_tiny(tmp_path) == "42 1.0 2 0"
    assert list((tmp_path / "__pycache__").glob("tiny.doubled-*.nbc"))
    assert run_tiny(tmp_path) == "42 1.0 2 2"


BESIDE = {"NUMBA_CACHE_LOCATOR_CLASSES": "model.contract.compiled.BesideSource"}


@pytest.mark.parametrize("environ", [{}, BESIDE])
def test_where_nothing_can_be_kept_or_read_it_is_compiled_anew(tmp_path, environ):
    (tmp_path / "__pycache__").write_text("a file where a folder would have to be")
    (tmp_path / "no such folder, in a file").write_text("another, where a cache of the user's is")

    assert run_tiny(tmp_path, **environ) == "42 1.0 2 0"


def test_an_image_reads_what_was_kept_where_nothing_can_be_written(tmp_path, monkeypatch):
    """As root every folder can be written, so numba is told that this one can not."""
    assert run_tiny(tmp_path) == "42 1.0 2 0"
    refusing = (
        "import tempfile\n\ndef refuse(**_): raise OSError\n\ntempfile.TemporaryFile = refuse\n"
    )
    (tmp_path / "no such folder, in a file").write_text("")
    (tmp_path / "sitecustomize.py").write_text(refusing)
    here = f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"

    assert run_tiny(tmp_path, PYTHONPATH=here) == "42 1.0 2 0"  # numba's own way: not looked at
    assert run_tiny(tmp_path, PYTHONPATH=here, **BESIDE) == "42 1.0 2 2"
