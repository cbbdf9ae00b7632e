"""Seeded Gumbel noise of a request: list k draws the same numbers however many lists are asked for.

List k uses Philox with the request's seed as key and k in the highest word of the 256-bit counter.
(k in the lowest word would start list k only four numbers behind list k-1, on the same stream.)
The map from bits to Gumbel is our own, so that no change of a library's sampler moves an answer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.contract.philox_streams import draw

Floats = NDArray[np.float32]
_BITS = 23  # (bits + .5) / 2^23 is exact in float32 and never 0 or 1
_UNUSED_BITS = np.uint32(32 - _BITS)
_HALF, _STEP = np.float32(0.5), np.float32(2.0**-_BITS)


def gumbel(*, seed: int, first: int, streams: int, count: int) -> Floats:
    """(streams, count) float32 standard Gumbel numbers of streams first, first + 1, .."""
    return -_negative_gumbel(seed=seed, first=first, streams=streams, count=count)


def _negative_gumbel(*, seed: int, first: int, streams: int, count: int) -> Floats:
    """The same with the other sign, which a factor takes back for nothing."""
    drawn = draw(seed=seed, first=first, streams=streams, words=(count + 1) // 2)
    bits = drawn.view("<u4")[:, :count] >> _UNUSED_BITS
    numbers = bits.astype(np.float32)
    numbers += _HALF
    numbers *= _STEP
    np.log(numbers, out=numbers)  # in place: each step rounds as it would into a new array
    np.negative(numbers, out=numbers)
    np.log(numbers, out=numbers)
    return numbers


def request_noise(
    *, seed: int, lists: int, edits: int, slots: int, candidates: int, scale: float
) -> tuple[Floats, Floats]:
    """Noise of one request.

    Returns:
        noise_slot (K, T, M) and noise_item (K, T, N), float32, already times `scale`. List 0 has
        none: it is "the single list".
    """
    slot = np.zeros((lists, edits, slots), dtype=np.float32)
    item = np.zeros((lists, edits, candidates), dtype=np.float32)
    if lists > 1:
        drawn = _negative_gumbel(
            seed=seed, first=1, streams=lists - 1, count=edits * (slots + candidates)
        )
        cells, factor = drawn.reshape(lists - 1, edits, slots + candidates), np.float32(-scale)
        np.multiply(cells[..., :slots], factor, out=slot[1:])
        np.multiply(cells[..., slots:], factor, out=item[1:])
    return slot, item
