"""What is compiled takes its own types, stays inside its arrays, and needs no place to be kept."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model.contract.kernels.encoding_kernels import gather_rows, holds_distinct_candidates

SAMPLE_KERNEL = """
from numba import types
from model.contract.kernels.compilation import compile_kernel

@compile_kernel(types.int64(types.int64), types.float64(types.float64))
def doubled(x):
    return 2 * x

print(doubled(21), doubled(.5), len(doubled.signatures), sum(doubled.stats.cache_hits.values()))
"""


def test_compiled_kernel_with_other_types_raises_type_error():
    with pytest.raises(TypeError, match="No matching definition"):
        holds_distinct_candidates(np.zeros((2, 3), dtype=np.int64), 3, 9)
    with pytest.raises(TypeError, match="No matching definition"):
        holds_distinct_candidates(np.zeros((3, 2), dtype=np.int32).T, 3, 9)  # not contiguous


def test_gather_rows_index_out_of_bounds_raises():
    table, out = np.zeros((3, 2), dtype=np.int32), np.zeros((1, 2), dtype=np.int32)
    none = np.zeros(0, dtype=np.int32)
    gather_rows(np.array([2]), table, none, out)

    with pytest.raises(IndexError):
        gather_rows(np.array([3]), table, none, out)


def run_sample_kernel(folder: Path, **environ: str) -> str:
    """The module's words, run with this environment alone beside what Python needs."""
    module = folder / "tiny.py"
    module.write_text(SAMPLE_KERNEL)
    done = subprocess.run(
        [sys.executable, str(module)],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[4]),
            "HOME": str(folder / "no such folder, in a file" / "x"),
            **environ,
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout.strip()


def test_compile_kernel_cache_is_reused(tmp_path):
    assert run_sample_kernel(tmp_path) == "42 1.0 2 0"
    assert list((tmp_path / "__pycache__").glob("tiny.doubled-*.nbc"))
    assert run_sample_kernel(tmp_path) == "42 1.0 2 2"


READ_ONLY_CACHE = {
    "NUMBA_CACHE_LOCATOR_CLASSES": "model.contract.kernels.compilation.ReadOnlySourceLocator"
}


@pytest.mark.parametrize("environ", [{}, READ_ONLY_CACHE])
def test_compile_kernel_without_cache_compiles_again(tmp_path, environ):
    (tmp_path / "__pycache__").write_text("a file where a folder would have to be")
    (tmp_path / "no such folder, in a file").write_text("another, where a cache of the user's is")

    assert run_sample_kernel(tmp_path, **environ) == "42 1.0 2 0"


def test_read_only_source_locator_reads_existing_cache(tmp_path, monkeypatch):
    """As root every folder can be written, so numba is told that this one can not."""
    assert run_sample_kernel(tmp_path) == "42 1.0 2 0"
    refusing = (
        "import tempfile\n\ndef refuse(**_): raise OSError\n\ntempfile.TemporaryFile = refuse\n"
    )
    (tmp_path / "no such folder, in a file").write_text("")
    (tmp_path / "sitecustomize.py").write_text(refusing)
    here = f"{tmp_path}{os.pathsep}{Path(__file__).parents[4]}"

    assert (
        run_sample_kernel(tmp_path, PYTHONPATH=here) == "42 1.0 2 0"
    )  # numba's own way: not looked at
    assert run_sample_kernel(tmp_path, PYTHONPATH=here, **READ_ONLY_CACHE) == "42 1.0 2 2"


@pytest.mark.parametrize("content", [b"", b"not a pickle"], ids=["empty", "garbage"])
@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
def test_compile_kernel_with_unreadable_cache_compiles_again(tmp_path, suffix, content):
    assert run_sample_kernel(tmp_path) == "42 1.0 2 0"
    damaged = list((tmp_path / "__pycache__").glob(f"tiny.doubled-*.{suffix}"))
    assert damaged
    for path in damaged:
        path.write_bytes(content)

    assert run_sample_kernel(tmp_path) == "42 1.0 2 0"
