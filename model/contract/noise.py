"""Seeded Gumbel noise of a request: list k draws the same numbers however many lists are asked for.

List k uses Philox with the request's seed as key and k in the highest word of the 256-bit counter.
(k in the lowest word would start list k only four numbers behind list k-1, on the same stream.)
The map from bits to Gumbel is our own, so that no change of a library's sampler moves an answer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_BITS = 23  # (bits + .5) / 2^23 is exact in float32 and never 0 or 1


def gumbel(*, seed: int, stream: int, count: int) -> Floats:
    """(count,) float32 standard Gumbel numbers of one stream; seed and stream are 64-bit."""
    philox = np.random.Philox(key=seed, counter=[0, 0, 0, stream])
    words = philox.random_raw((count + 1) // 2).astype("<u8", copy=False).view("<u4")[:count]
    uniform = ((words >> np.uint32(32 - _BITS)).astype(np.float32) + np.float32(0.5)) * np.float32(
        2.0**-_BITS
    )
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
    for k in range(1, lists):
        out[k] = gumbel(seed=seed, stream=k, count=out[k].size).reshape(out[k].shape)
    out *= np.float32(scale)
    return np.ascontiguousarray(out[..., :slots]), np.ascontiguousarray(out[..., slots:])
