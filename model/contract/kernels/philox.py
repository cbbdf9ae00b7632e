"""Uniform numbers of many Philox streams in one call: Philox4x64-10, as in numpy.

Source: J. K. Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3 (SC 2011). Integer
arithmetic only, so the numbers are the same on every machine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.contract.kernels.dispatch import kernel, signature, writable

_MULTIPLIER_0, _MULTIPLIER_1 = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
_WEYL_0, _WEYL_1 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)
_ROUNDS = 10
_LOW, _HALF_WORD, _ONE = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(1)
_BITS = 23  # (bits + .5) / 2^23 is exact in float32 and never 0 or 1
_UNUSED_BITS = np.uint64(32 - _BITS)
_HALF, _STEP = np.float32(0.5), np.float32(2.0**-_BITS)


def _philox_uniform_numpy(
    key_low: int, key_high: int, first_stream: int, out: NDArray[np.float32]
) -> None:
    key, count = (key_high << 64) | key_low, out.shape[1]
    words = np.empty((len(out), (count + 1) // 2), dtype="<u8")
    for stream in range(len(out)):
        generator = np.random.Philox(key=key, counter=(first_stream + stream) << 192)
        words[stream] = generator.random_raw(words.shape[1])
    bits = words.view("<u4")[:, :count] >> np.uint32(_UNUSED_BITS)
    out[...] = (bits.astype(np.float32) + _HALF) * _STEP


@kernel(_philox_uniform_numpy, signature("uint64", "uint64", "int64", writable("float32", 2)))
def philox_uniform(
    key_low: int, key_high: int, first_stream: int, out: NDArray[np.float32]
) -> None:
    """Fill (streams, count) with numbers in (0, 1), 23 bits of each half word, the lower first.

    Args:
        key_low, key_high: the key, 128 bits.
        first_stream: the counter's highest word in stream 0; stream s has first_stream + s.
        out: the array to fill.
    """

    def multiply_high(a: np.uint64, b: np.uint64) -> np.uint64:
        """The upper 64 of the 128 bits of a product."""
        a_low, a_high, b_low, b_high = a & _LOW, a >> _HALF_WORD, b & _LOW, b >> _HALF_WORD
        low = a_low * b_low
        middle = a_high * b_low + (low >> _HALF_WORD)
        crossed = a_low * b_high + (middle & _LOW)
        return a_high * b_high + (middle >> _HALF_WORD) + (crossed >> _HALF_WORD)

    count = out.shape[1]
    words = np.empty(4, dtype=np.uint64)
    for stream in range(out.shape[0]):
        blocks = np.uint64(0)
        for at in range(0, count, 8):
            blocks += _ONE  # numpy increments the counter before it draws
            x0, x1, x2, x3 = blocks, np.uint64(0), np.uint64(0), np.uint64(first_stream + stream)
            k0, k1 = np.uint64(key_low), np.uint64(key_high)
            for _ in range(_ROUNDS):
                high_0, high_1 = multiply_high(_MULTIPLIER_0, x0), multiply_high(_MULTIPLIER_1, x2)
                low_0, low_1 = _MULTIPLIER_0 * x0, _MULTIPLIER_1 * x2
                x0, x1, x2, x3 = high_1 ^ x1 ^ k0, low_1, high_0 ^ x3 ^ k1, low_0
                k0, k1 = k0 + _WEYL_0, k1 + _WEYL_1
            words[0], words[1], words[2], words[3] = x0, x1, x2, x3
            for half in range(min(8, count - at)):
                word = words[half >> 1]
                bits = (word >> _HALF_WORD if half & 1 else word & _LOW) >> _UNUSED_BITS
                out[stream, at + half] = (np.float32(bits) + _HALF) * _STEP
