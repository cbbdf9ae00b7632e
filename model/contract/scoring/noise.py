"""Seeded Gumbel noise of a request; list k has the same numbers for any number of lists.

List k uses Philox with the request's seed as key and k in the highest word of the 256-bit counter.
(k in the lowest word would start list k only four numbers behind list k-1, on the same stream.)
The map from bits to Gumbel is our own, so that no change of a library's sampler changes a response.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.contract.kernels.encoding_kernels import split_noise
from model.contract.kernels.philox import philox_uniform

FloatArray = NDArray[np.float32]
_WORD = (1 << 64) - 1


def philox_gumbel(*, seed: int, first_stream: int, stream_count: int, count: int) -> FloatArray:
    """(streams, count) float32 standard Gumbel numbers of streams first, first + 1, ..."""
    return -_negative_gumbel(
        seed=seed, first_stream=first_stream, stream_count=stream_count, count=count
    )


def _negative_gumbel(*, seed: int, first_stream: int, stream_count: int, count: int) -> FloatArray:
    """Negated Gumbel numbers; the caller's factor restores the sign without another pass."""
    numbers = np.empty((stream_count, count), dtype=np.float32)
    philox_uniform(seed & _WORD, seed >> 64, first_stream, numbers)
    np.log(numbers, out=numbers)  # numpy's, in place: each step rounds as into a new array
    np.negative(numbers, out=numbers)
    np.log(numbers, out=numbers)
    return numbers


def request_noise(
    *, seed: int, lists: int, edits: int, slots: int, candidates: int, scale: float
) -> tuple[FloatArray, FloatArray]:
    """Noise of one request.

    Returns:
        noise_slot (K, T, M) and noise_item (K, T, N), float32, already times `scale`. List 0 has
        none: it is "the single list".
    """
    slot = np.empty((lists, edits, slots), dtype=np.float32)
    item = np.empty((lists, edits, candidates), dtype=np.float32)
    count = edits * (slots + candidates)
    split_noise(
        _negative_gumbel(seed=seed, first_stream=1, stream_count=max(lists - 1, 0), count=count),
        -scale,
        slot,
        item,
    )
    return slot, item
