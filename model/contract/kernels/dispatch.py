"""Kernels: functions with a numpy implementation and a loop that numba can compile.

Knows no numba: nothing is compiled before `compilation.compile_kernels` runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import update_wrapper
from typing import Generic, Literal, ParamSpec, TypeVar

ParametersT = ParamSpec("ParametersT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class ArrayArgument:
    """Type of an array argument: numba's name of the scalar, dimensions, layout, access."""

    scalar: str
    dimensions: int
    layout: Literal["C", "A"]
    readonly: bool


@dataclass(frozen=True, slots=True)
class Signature:
    """Types of a compiled loop; scalars by numba's names, a tuple of them for several results."""

    result: str | tuple[str, ...]
    arguments: tuple[str | ArrayArgument, ...]


class Kernel(Generic[ParametersT, ResultT]):
    """A callable that runs `reference` until another implementation is set by `use`.

    reference: the implementation with numpy.
    loop: the same result by loops over scalars; slow unless compiled.
    signatures: the argument types that the loop is compiled for.
    """

    def __init__(
        self,
        loop: Callable[ParametersT, ResultT],
        reference: Callable[ParametersT, ResultT],
        signatures: tuple[Signature, ...],
    ) -> None:
        self.loop, self.reference, self.signatures = loop, reference, signatures
        self._implementation = reference
        update_wrapper(self, loop)

    def __call__(self, *args: ParametersT.args, **kwargs: ParametersT.kwargs) -> ResultT:
        """The result of the implementation in use."""
        return self._implementation(*args, **kwargs)

    def use(self, implementation: Callable[ParametersT, ResultT]) -> None:
        """Run this implementation from now on."""
        self._implementation = implementation


def kernel(
    reference: Callable[ParametersT, ResultT], *signatures: Signature
) -> Callable[[Callable[ParametersT, ResultT]], Kernel[ParametersT, ResultT]]:
    """Decorator factory: makes a kernel of the decorated loop and its numpy reference."""

    def make(loop: Callable[ParametersT, ResultT]) -> Kernel[ParametersT, ResultT]:
        return Kernel(loop, reference, signatures)

    return make


def signature(*arguments: str | ArrayArgument, result: str | tuple[str, ...] = "void") -> Signature:
    """The types of a loop's arguments and of its result."""
    return Signature(result, arguments)


def writable(scalar: str, dimensions: int) -> ArrayArgument:
    """A contiguous array that the kernel writes."""
    return ArrayArgument(scalar, dimensions, "C", readonly=False)


def readonly(scalar: str, dimensions: int) -> ArrayArgument:
    """A contiguous array that the kernel reads; it may be writable."""
    return ArrayArgument(scalar, dimensions, "C", readonly=True)


def any_layout(scalar: str, dimensions: int) -> ArrayArgument:
    """An array of any strides that the kernel reads."""
    return ArrayArgument(scalar, dimensions, "A", readonly=True)
