"""Seeded Gumbel noise of a request: list k draws the same numbers however many lists are asked for.

List k uses Philox with the request's seed as key and k in the highest word of the 256-bit counter.
(k in the lowest word would start list k only four numbers behind list k-1, on the same stream.)
The map from bits to Gumbel is our own, so that no change of a library's sampler moves an answer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_STREAM = 1 << 192  # one step of the highest of the counter's four words
_BLOCK = 4  # 64-bit words that one value of the counter yields
_BITS = 23  # (bits + .5) / 2^23 is exact in float32 and never 0 or 1


def gumbel(*, seed: int, first: int, streams: int, count: int) -> Floats:
    """(streams, count) float32 standard Gumbel numbers of streams first, first + 1, ..

    One generator walks from stream to stream: making one costs more than a list's numbers.
    """
    philox = np.random.Philox(key=seed)
    words = (count + 1) // 2
    drawn = np.empty((streams, words), dtype="<u8")
    step = first * _STREAM
    for s in range(streams):
        philox.advance(step)
        drawn[s] = philox.random_raw(words)
        step = _STREAM - -(-words // _BLOCK)  # to the start of the next stream
    bits = drawn.view("<u4")[:, :count] >> np.uint32(32 - _BITS)
    uniform = (bits.astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-_BITS)
    return -np.log(-np.log(uniform))


def request_noise(
    *, seed: int, lists: int, edits: int, slots: int, candidates: int, scale: float
) -> tuple[Floats, Floats]:
    """Noise of one request.

    Returns:
        noise_slot (K, T, M) and noise_item (K, T, N), float32, already times `scale`. List 0 has
        none: it is "the single list".
    """
    out = np.zeros((lists, edits, slots + candidates), dtype=np.float32)
    if lists > 1:
        drawn = gumbel(seed=seed, first=1, streams=lists - 1, count=edits * (slots + candidates))
        out[1:] = drawn.reshape(out[1:].shape) * np.float32(scale)
    return np.ascontiguousarray(out[..., :slots]), np.ascontiguousarray(out[..., slots:])
