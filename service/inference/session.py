"""A session whose runs go straight to the runtime.

The library's `run` looks in Python at every input and names every output anew: 15 calls for a
generator's run and 9 for an evaluator's, 10 us of a request. The runtime checks names, types and
shapes itself, and no execution provider but the CPU's is here to fall back to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnxruntime as ort
from numpy.typing import NDArray


class DirectSession(ort.InferenceSession):  # type: ignore[misc]  # the library has no types
    """One graph, ready to run."""

    def run(
        self,
        outputs: Sequence[str],
        feeds: Mapping[str, NDArray[Any]],
        options: ort.RunOptions | None = None,
    ) -> list[NDArray[Any]]:
        """The outputs of these names; raises the runtime's own errors."""
        made: list[NDArray[Any]] = self._sess.run(outputs, feeds, options)
        return made
