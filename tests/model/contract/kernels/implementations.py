"""Implementations of a kernel beside its numpy reference, and a comparison of their outputs."""

from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from model.contract.kernels.compilation import compile_loop
from model.contract.kernels.dispatch import Kernel

LOOPS = ["interpreted", *(["compiled"] if find_spec("numba") is not None else [])]


@cache
def loop_of(kernel: Kernel[Any, Any], name: str) -> Callable[..., Any]:
    """The kernel's loop, run by Python itself or compiled by numba."""
    return kernel.loop if name == "interpreted" else compile_loop(kernel)


def assert_same_as_reference(
    kernel: Kernel[Any, Any], name: str, inputs: Sequence[Any], outputs: Sequence[Any]
) -> None:
    """Run both on the same inputs and compare results and filled outputs, bit by bit.

    inputs, outputs: arguments in the kernel's order, outputs last; those are filled, once each.
    """
    expected, filled = [out.copy() for out in outputs], [out.copy() for out in outputs]
    with np.errstate(all="ignore"):
        result = loop_of(kernel, name)(*inputs, *filled)
    reference = kernel.reference(*inputs, *expected)

    assert result == reference or (np.isnan(result).any() and np.isnan(reference).any())
    for one, other in zip(filled, expected, strict=True):
        assert bits(one) == bits(other)


def bits(array: Any) -> bytes:
    """The array's bytes, with one pattern for every NaN."""
    if array.dtype.kind != "f":
        return array.tobytes()
    return np.where(np.isnan(array), array.dtype.type(np.nan), array).tobytes()
