"""Import directions: what import-linter sees, and the hole that it cannot see."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

PROBE = """
import importlib, pkgutil, sys, service
for module in pkgutil.walk_packages(service.__path__, "service."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
ours = {m for m in sys.modules if m.startswith("model.") and not m.startswith("model.contract")}
heavy = {"torch", "onnx", "onnxscript", "pandas", "sklearn", "pyarrow", "export", "locust"}
print(len([m for m in sys.modules if m.startswith("service.")]))
print(sorted(ours | (heavy & set(sys.modules))))
"""


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_import_directions_hold():
    done = run(
        "-c",
        "import sys; from importlinter.cli import lint_imports_command;"
        " sys.path.insert(0, '.'); lint_imports_command(['--no-cache'])",
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_module_of_the_service_loads_a_training_library_even_by_way_of_an_init_file():
    done = run("-c", PROBE)
    assert done.returncode == 0, done.stderr
    loaded, forbidden = done.stdout.splitlines()
    assert int(loaded) > 10, "the probe walked past the service"
    assert forbidden == "[]"


def test_the_init_file_of_the_model_is_empty_because_the_service_image_runs_it():
    assert (ROOT / "model" / "__init__.py").read_bytes() == b""
    assert (ROOT / "model" / "contract" / "__init__.py").read_bytes() == b""
