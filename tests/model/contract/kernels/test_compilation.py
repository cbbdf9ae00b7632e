"""A compiled loop takes its own types, stays inside its arrays, and needs no usable cache."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model.contract.kernels.encoding_kernels import gather_rows, holds_distinct_candidates
from tests.model.contract.kernels.implementations import loop_of

SAMPLE_KERNEL = """
from model.contract.kernels.compilation import compile_loop
from model.contract.kernels.dispatch import kernel, signature

def reference(x):
    return x + x

@kernel(reference, signature("int64", result="int64"), signature("float64", result="float64"))
def doubled(x):
    return 2 * x

loop = compile_loop(doubled)
print(loop(21), loop(.5), len(loop.signatures), sum(loop.stats.cache_hits.values()))
"""


def test_compiled_loop_with_other_types_raises_type_error():
    loop = loop_of(holds_distinct_candidates, "compiled")
    assert loop(np.array([[0, 1]], dtype=np.int32), 2, 9)

    with pytest.raises(TypeError, match="No matching definition"):
        loop(np.zeros((2, 3), dtype=np.int64), 3, 9)
    with pytest.raises(TypeError, match="No matching definition"):
        loop(np.zeros((3, 2), dtype=np.int32).T, 3, 9)  # not contiguous


@pytest.mark.parametrize("implementation", ["compiled", "reference"])
def test_gather_rows_index_out_of_bounds_raises(implementation):
    function = (
        gather_rows.reference
        if implementation == "reference"
        else loop_of(gather_rows, implementation)
    )
    table, out = np.zeros((3, 2), dtype=np.int32), np.zeros((1, 2), dtype=np.int32)
    none = np.zeros(0, dtype=np.int32)
    function(np.array([2]), table, none, out)

    with pytest.raises(IndexError):
        function(np.array([3]), table, none, out)


def run_sample_kernel(folder: Path, **environ: str) -> str:
    """What the module prints, with this environment alone beside what Python needs."""
    module = folder / "tiny.py"
    if not module.exists():  # the cache is keyed by the time of the file's last change
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


def test_compile_loop_cache_is_reused(tmp_path):
    assert run_sample_kernel(tmp_path) == "42 1.0 2 0"
    assert list((tmp_path / "__pycache__").glob("tiny.doubled-*.nbc"))
    assert run_sample_kernel(tmp_path) == "42 1.0 2 2"


def test_compile_loop_cache_folder_is_a_setting(tmp_path):
    cache = tmp_path / "cache"

    assert run_sample_kernel(tmp_path, NUMBA_CACHE_DIR=str(cache)) == "42 1.0 2 0"
    assert list(cache.rglob("tiny.doubled-*.nbc"))
    assert run_sample_kernel(tmp_path, NUMBA_CACHE_DIR=str(cache)) == "42 1.0 2 2"


def test_compile_loop_copied_cache_is_reused(tmp_path):
    """The service image brings a cache along and copies it to where it can be written."""
    cache, copy = tmp_path / "cache", tmp_path / "copy"
    assert run_sample_kernel(tmp_path, NUMBA_CACHE_DIR=str(cache)) == "42 1.0 2 0"

    shutil.copytree(cache, copy)
    assert run_sample_kernel(tmp_path, NUMBA_CACHE_DIR=str(copy)) == "42 1.0 2 2"


def test_compile_loop_without_place_for_cache_compiles(tmp_path):
    (tmp_path / "__pycache__").write_text("a file where a folder would have to be")
    (tmp_path / "no such folder, in a file").write_text("another, where a cache of the user's is")

    for _ in range(2):
        assert run_sample_kernel(tmp_path) == "42 1.0 2 0"


@pytest.mark.parametrize("damage", ["empty", "torn", "garbage"])
@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
def test_compile_loop_with_unreadable_cache_compiles_again(tmp_path, suffix, damage):
    assert run_sample_kernel(tmp_path) == "42 1.0 2 0"
    damaged = list((tmp_path / "__pycache__").glob(f"tiny.doubled-*.{suffix}"))
    assert damaged
    for path in damaged:
        content = path.read_bytes()
        torn = content[: len(content) // 2]
        path.write_bytes({"empty": b"", "torn": torn, "garbage": b"not a pickle"}[damage])

    assert run_sample_kernel(tmp_path) == "42 1.0 2 0"
