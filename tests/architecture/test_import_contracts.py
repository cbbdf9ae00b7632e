"""Import directions: what import-linter sees, and the hole that it cannot see."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

MODULE_PROBE = """
import importlib, pkgutil, sys, service
for module in pkgutil.walk_packages(service.__path__, "service."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
ours = {m for m in sys.modules if m.startswith("model.") and not m.startswith("model.contract")}
heavy = {"torch", "onnx", "onnxscript", "pandas", "sklearn", "pyarrow", "export", "locust"}
print(len([m for m in sys.modules if m.startswith("service.")]))
print(sorted(ours | (heavy & set(sys.modules))))
"""


def run_python(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_import_contracts_are_kept():
    done = run_python(
        "-c",
        "import sys; from importlinter.cli import lint_imports_command;"
        " sys.path.insert(0, '.'); lint_imports_command(['--no-cache'])",
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_service_modules_load_no_training_library():
    done = run_python("-c", MODULE_PROBE)
    assert done.returncode == 0, done.stderr
    loaded, forbidden = done.stdout.splitlines()
    assert int(loaded) > 10, "the probe walked past the service"
    assert forbidden == "[]"


def test_model_init_files_are_empty():
    assert (ROOT / "model" / "__init__.py").read_bytes() == b""
    assert (ROOT / "model" / "contract" / "__init__.py").read_bytes() == b""
