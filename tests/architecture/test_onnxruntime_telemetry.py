"""ONNX Runtime's builds report to their maker unless told not to; ours do not."""

import os
import subprocess
import sys

import pytest

SESSION_PROBE = """
import importlib, sys, time
importlib.import_module(sys.argv[1])
import onnxruntime
from onnxruntime.datasets import get_example
onnxruntime.InferenceSession(get_example("sigmoid.onnx"), providers=["CPUExecutionProvider"])
"""


@pytest.mark.parametrize("module", ["service.inference.graphs", "export.parity"])
def test_onnxruntime_session_writes_no_telemetry(module, tmp_path):
    # ONNX Runtime says nothing under CI, so the variable is taken away.
    quiet = {"CI", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"}
    environ = {name: value for name, value in os.environ.items() if name not in quiet}
    subprocess.run(
        [sys.executable, "-c", SESSION_PROBE, module],
        env={**environ, "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
        check=True,
    )
    assert list(tmp_path.rglob("*")) == []
