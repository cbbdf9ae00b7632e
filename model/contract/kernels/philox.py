"""Uniform numbers of many Philox streams in one compiled call: Philox4x64-10, as numpy has it.

J. K. Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3 (SC 2011). Integers alone, so the
numbers are the same on every machine; a test holds them against numpy's generator.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from model.contract.kernels.compilation import compile_kernel, writable

_MULTIPLIER_0, _MULTIPLIER_1 = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
_WEYL_0, _WEYL_1 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)
_ROUNDS = 10
_LOW, _HALF_WORD, _ONE = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(1)
_BITS = 23  # (bits + .5) / 2^23 is exact in float32 and never 0 or 1
_UNUSED_BITS = np.uint64(32 - _BITS)
_HALF, _STEP = np.float32(0.5), np.float32(2.0**-_BITS)


@compile_kernel(types.uint64(types.uint64, types.uint64))
def _multiply_high(a: np.uint64, b: np.uint64) -> np.uint64:
    """The upper 64 of the 128 bits of a product."""
    a_low, a_high, b_low, b_high = a & _LOW, a >> _HALF_WORD, b & _LOW, b >> _HALF_WORD
    low = a_low * b_low
    middle = a_high * b_low + (low >> _HALF_WORD)
    crossed = a_low * b_high + (middle & _LOW)
    return a_high * b_high + (middle >> _HALF_WORD) + (crossed >> _HALF_WORD)


@compile_kernel(types.void(types.uint64, types.uint64, types.int64, writable(types.float32, 2)))
def philox_uniform(
    key_low: int, key_high: int, first_stream: int, out: NDArray[np.float32]
) -> None:
    """Fill (streams, count) with numbers in (0, 1), 23 bits of each half word, the lower first.

    Args:
        key_low, key_high: the key, 128 bits.
        first: the counter's highest word in stream 0; stream s has first + s.
        out: what is filled.
    """
    count = out.shape[1]
    words = np.empty(4, dtype=np.uint64)
    for stream in range(out.shape[0]):
        blocks = np.uint64(0)
        for at in range(0, count, 8):
            blocks += _ONE  # numpy counts before it draws
            x0, x1, x2, x3 = blocks, np.uint64(0), np.uint64(0), np.uint64(first_stream + stream)
            k0, k1 = np.uint64(key_low), np.uint64(key_high)
            for _ in range(_ROUNDS):
                high_0, high_1 = (
                    _multiply_high(_MULTIPLIER_0, x0),
                    _multiply_high(_MULTIPLIER_1, x2),
                )
                low_0, low_1 = _MULTIPLIER_0 * x0, _MULTIPLIER_1 * x2
                x0, x1, x2, x3 = high_1 ^ x1 ^ k0, low_1, high_0 ^ x3 ^ k1, low_0
                k0, k1 = k0 + _WEYL_0, k1 + _WEYL_1
            words[0], words[1], words[2], words[3] = x0, x1, x2, x3
            for half in range(min(8, count - at)):
                word = words[half >> 1]
                bits = (word >> _HALF_WORD if half & 1 else word & _LOW) >> _UNUSED_BITS
                out[stream, at + half] = (np.float32(bits) + _HALF) * _STEP
