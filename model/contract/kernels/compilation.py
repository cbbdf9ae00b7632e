"""Functions of Python that are machine code by the time their module is imported.

A trick for the request path: behind a graph run, which empties the caches, each of numpy's calls
costs two to five microseconds whatever it computes, and one request made about sixty of them. Loops
over its few hundred numbers, compiled by numba, take what they compute. What it gave, and what it
takes of memory: docs/experiments/profile-encoding-search.md. The compiler itself does not run where
what it made before is found: beside the source, or where NUMBA_CACHE_DIR says.
"""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit, types
from numba.core.caching import InTreeCacheLocator
from numba.core.typing.templates import Signature

# What numba raises for a cache file that is empty, cut off, damaged or of another version.
_UNREADABLE_CACHE = (
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
FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


class ReadOnlySourceLocator(InTreeCacheLocator):
    """Machine code beside its source, which may be read where nothing may be written.

    An image names it in NUMBA_CACHE_LOCATOR_CLASSES: numba's own takes a folder that is read-only
    for none.
    """

    def ensure_cache_path(self) -> None:
        """Nothing is written before there is something to write."""


def compile_kernel(*signatures: Signature) -> Callable[[FunctionT], FunctionT]:
    """Compile for arguments of these types, no others, with their indices checked.

    The cache is keyed by the content of the source file, not by these options: after a change of
    options, delete `*.nbi` from the `__pycache__` beside the kernels.
    """

    def compile_now(function: FunctionT) -> FunctionT:
        made = _dispatcher(function)
        with contextlib.suppress(RuntimeError):  # no place to keep it: compiled at each start
            made.enable_caching()
        for signature in signatures:
            made = _compile_signature(made, signature, function)
        made.disable_compile()
        ready: FunctionT = made
        return ready

    return compile_now


def _dispatcher(function: Callable[..., Any]) -> Any:  # noqa: ANN401  # the library's own type
    return njit(boundscheck=True, error_model="numpy")(function)


def _compile_signature(made: Any, signature: Signature, function: Callable[..., Any]) -> Any:  # noqa: ANN401
    """Compile one more signature; without the cache, all so far, where it cannot be used."""
    had = list(made.signatures)
    try:
        made.compile(signature)
    except _UNREADABLE_CACHE:  # a compiler error is raised again by the compilation below
        if len(made.signatures) == len(had):
            made = _dispatcher(function)
            for earlier in [*had, signature]:
                made.compile(earlier)
    return made


def writable(kind: types.Type, axes: int) -> types.Type:
    """A contiguous array that is written."""
    return types.Array(kind, axes, "C")


def readonly(kind: types.Type, axes: int) -> types.Type:
    """A contiguous array that is read only; one that could be written will do."""
    return types.Array(kind, axes, "C", readonly=True)


def any_layout(kind: types.Type, axes: int) -> types.Type:
    """An array that is read only, a part of a larger one or not."""
    return types.Array(kind, axes, "A", readonly=True)
