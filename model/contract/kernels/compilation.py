"""Compile the kernels with numba, or leave them on numpy. Imports numba only to compile.

The service compiles once at its start. Training, evaluation and export run on numpy, with the same
results to the last bit. Machine code is cached where `NUMBA_CACHE_DIR` points, by default beside
the source; without a usable cache the kernels compile anew. Benefit and cost:
docs/decisions/numba-kernels.md.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

from model.contract.kernels.dispatch import ArrayArgument, Kernel, Signature
from model.contract.kernels.encoding_kernels import (
    gather_rows,
    gather_sessions,
    holds_distinct_candidates,
    split_noise,
    write_bucket_column,
    write_rank_quantile_column,
)
from model.contract.kernels.list_scoring import (
    count_changes_and_clicks,
    ensemble_mean,
    list_rewards,
    round_to,
    score_and_select_list,
)
from model.contract.kernels.philox import philox_uniform

KernelSetting = Literal["auto", "numba", "numpy"]
KernelImplementation = Literal["numba", "numpy"]
KERNELS: tuple[Kernel[Any, Any], ...] = (
    gather_rows,
    write_bucket_column,
    write_rank_quantile_column,
    gather_sessions,
    holds_distinct_candidates,
    split_noise,
    list_rewards,
    score_and_select_list,
    ensemble_mean,
    round_to,
    count_changes_and_clicks,
    philox_uniform,
)
# What numba raises without a place for its cache, and for a cache file that is empty, torn,
# damaged or of another version. A compiler error among them is raised again without a cache.
_UNUSABLE_CACHE = (
    OSError,
    EOFError,
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    ImportError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


class NumbaNotInstalledError(RuntimeError):
    """Compiled kernels are required and numba is not installed."""

    def __init__(self) -> None:
        super().__init__("compiled kernels need the extra: pip install 'relist[fast]'")


@dataclass(frozen=True, slots=True)
class CompilationReport:
    """Number of loops in use by origin; a kernel has one loop for each of its signatures."""

    compiled: int
    from_cache: int


def select_implementation(setting: KernelSetting) -> KernelImplementation:
    """The implementation that a setting selects; `auto` is numba where it is installed.

    Raises:
        NumbaNotInstalledError: the setting is `numba` and the package is missing.
    """
    if setting == "numpy" or find_spec("numba") is not None:
        return "numpy" if setting == "numpy" else "numba"
    if setting == "numba":
        raise NumbaNotInstalledError
    return "numpy"


def compile_kernels() -> CompilationReport:
    """Compile every kernel or read it from the cache, then use the compiled loops."""
    loops = {kernel: compile_loop(kernel) for kernel in KERNELS}
    for kernel, loop in loops.items():
        kernel.use(loop)
    cached = sum(sum(loop.stats.cache_hits.values()) for loop in loops.values())
    return CompilationReport(sum(len(k.signatures) for k in KERNELS) - cached, cached)


def compile_loop(kernel: Kernel[Any, Any]) -> Any:  # noqa: ANN401  # numba's dispatcher
    """The compiled loop: takes only the kernel's argument types, and checks its indices."""
    try:
        return _jit(kernel, cache=True)
    except _UNUSABLE_CACHE:
        return _jit(kernel, cache=False)


def _jit(kernel: Kernel[Any, Any], *, cache: bool) -> Callable[..., Any]:
    from numba import njit

    signatures = [_numba_signature(signature) for signature in kernel.signatures]
    compiled: Callable[..., Any] = njit(
        signatures, cache=cache, boundscheck=True, error_model="numpy"
    )(kernel.loop)
    return compiled


def _numba_signature(signature: Signature) -> Any:  # noqa: ANN401  # numba's, half typed
    from numba import types

    result: Any
    if isinstance(signature.result, tuple):
        scalars = [getattr(types, name) for name in signature.result]
        result = types.Tuple(scalars)  # type: ignore[no-untyped-call]
    else:
        result = getattr(types, signature.result)
    return result(*map(_numba_type, signature.arguments))


def _numba_type(argument: str | ArrayArgument) -> Any:  # noqa: ANN401
    from numba import types

    if isinstance(argument, str):
        return getattr(types, argument)
    scalar = getattr(types, argument.scalar)
    return types.Array(scalar, argument.dimensions, argument.layout, readonly=argument.readonly)
