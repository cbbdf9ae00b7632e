"""Kernels run on numpy until the compilation is asked for, and numba is chosen where it is."""

import importlib
import pkgutil
import subprocess
import sys
from importlib.util import find_spec

import pytest

from model.contract import kernels
from model.contract.kernels.compilation import (
    KERNELS,
    NumbaNotInstalledError,
    select_implementation,
)
from model.contract.kernels.dispatch import Kernel

WITHOUT_NUMBA = "import service.server.launch, model.training.trainer, export.golden, sys; "


def test_every_kernel_is_listed_for_compilation():
    modules = [
        importlib.import_module(f"{kernels.__name__}.{module.name}")
        for module in pkgutil.iter_modules(kernels.__path__)
    ]
    found = {
        value for module in modules for value in vars(module).values() if isinstance(value, Kernel)
    }

    assert len(KERNELS) == len(set(KERNELS))
    assert found == set(KERNELS)


def test_imports_of_the_product_do_not_load_numba():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NUMBA + "print('numba' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout == "False\n"


def test_select_implementation_auto_follows_the_installation(monkeypatch):
    expected = "numpy" if find_spec("numba") is None else "numba"
    assert select_implementation("auto") == expected
    assert select_implementation("numpy") == "numpy"

    monkeypatch.setitem(sys.modules, "numba", None)  # as if it were not installed
    assert select_implementation("auto") == "numpy"


def test_select_implementation_numba_without_package_names_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)

    with pytest.raises(NumbaNotInstalledError, match=r"relist\[fast\]"):
        select_implementation("numba")


def test_kernel_runs_the_implementation_in_use():
    sample: Kernel[[int], int] = Kernel(lambda x: x + 1, lambda x: x - 1, ())
    assert sample(5) == 4

    sample.use(sample.loop)
    assert sample(5) == 6
