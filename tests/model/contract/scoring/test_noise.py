"""Noise of a request: the same for a seed, apart between lists, and Gumbel."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from model.contract.scoring.noise import philox_gumbel, request_noise

EULER = 0.5772156649015329
SIZE = {"edits": 3, "slots": 4, "candidates": 7}


def philox_words(seed: int, counter: list[int], count: int) -> list[int]:
    """Words straight from numpy's Philox, from a counter given in whole."""
    return np.random.Philox(key=seed, counter=counter).random_raw(count).tolist()


def test_request_noise_is_independent_of_list_count():
    few = request_noise(seed=9, lists=3, scale=0.7, **SIZE)
    many = request_noise(seed=9, lists=33, scale=0.7, **SIZE)

    for three, all_of_them in zip(few, many, strict=True):
        assert three.tobytes() == all_of_them[:3].tobytes()


@pytest.mark.parametrize("count", [1, 7, 8, 9, 33, 440])
def test_philox_uniform_matches_numpy_philox(count):
    seed, first = 2**64 - 3, 5
    drawn = philox_gumbel(seed=seed, first_stream=first, stream_count=3, count=count)

    for s in range(3):
        words = philox_words(seed, [0, 0, 0, first + s], (count + 1) // 2)
        halves = [half for word in words for half in (word & 0xFFFF_FFFF, word >> 32)][:count]
        uniform = (np.array([h >> 9 for h in halves]) + 0.5) / 2**23
        np.testing.assert_allclose(drawn[s], -np.log(-np.log(uniform)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 31, 440])
def test_philox_gumbel_matches_formula_bit_for_bit(count):
    """Training, golden answers and every served list rest on these bits."""
    seed, first = 77, 1
    drawn = philox_gumbel(seed=seed, first_stream=first, stream_count=3, count=count)

    for s in range(3):
        words = np.array(philox_words(seed, [0, 0, 0, first + s], (count + 1) // 2), dtype="<u8")
        bits = words.view("<u4")[:count] >> np.uint32(9)
        uniform = (bits.astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-23)
        assert drawn[s].tobytes() == (-np.log(-np.log(uniform))).tobytes()


def test_request_noise_is_thread_safe():
    seeds = list(range(64))
    alone = [
        philox_gumbel(seed=s, first_stream=1, stream_count=4, count=200).tobytes() for s in seeds
    ]

    with ThreadPoolExecutor(4) as threads:
        drawn = threads.map(
            lambda s: philox_gumbel(seed=s, first_stream=1, stream_count=4, count=200), seeds
        )

    assert [numbers.tobytes() for numbers in drawn] == alone


def test_philox_streams_share_no_word():
    words = 2_000
    ours = [philox_words(11, [0, 0, 0, k], words) for k in range(1, 6)]
    assert len(set().union(*ours)) == 5 * words

    naive = [philox_words(11, [k, 0, 0, 0], words) for k in range(1, 6)]
    assert naive[1][:-4] == naive[0][4:]  # list k + 1 is list k, four words on


def test_request_noise_layout_is_slots_then_candidates():
    slot, item = request_noise(seed=2, lists=4, scale=0.5, **SIZE)

    assert slot.shape == (4, 3, 4)
    assert item.shape == (4, 3, 7)
    assert slot.dtype == item.dtype == np.float32
    assert slot.flags.c_contiguous
    assert item.flags.c_contiguous
    for k in (1, 2, 3):
        [drawn] = philox_gumbel(seed=2, first_stream=k, stream_count=1, count=3 * (4 + 7))
        cells = np.float32(0.5) * drawn.reshape(3, 11)
        assert slot[k].tolist() == cells[:, :4].tolist()
        assert item[k].tolist() == cells[:, 4:].tolist()


@pytest.mark.parametrize("lists", [1, 2])
def test_request_noise_of_list_zero_is_zero(lists):
    slot, item = request_noise(seed=2, lists=lists, scale=1.0, **SIZE)
    assert len(slot) == len(item) == lists
    assert not slot[0].any()
    assert not item[0].any()


def test_request_noise_zero_scale_is_zero():
    one, two = (request_noise(seed=s, lists=2, scale=1.0, **SIZE)[0] for s in (0, 1))
    assert not np.isclose(one[1], two[1]).any()
    assert not any(part.any() for part in request_noise(seed=0, lists=9, scale=0.0, **SIZE))


def test_philox_gumbel_has_standard_gumbel_moments():
    n = 200_000
    [x] = philox_gumbel(seed=123, first_stream=1, stream_count=1, count=n).astype(np.float64)
    deviation = np.pi / np.sqrt(6)

    assert x.mean() == pytest.approx(EULER, abs=5 * deviation / np.sqrt(n))
    # the fourth central moment of a Gumbel is 5.4 times its squared variance
    assert x.var() == pytest.approx(deviation**2, abs=5 * deviation**2 * np.sqrt(4.4 / n))
    ordered = np.sort(x)
    cdf = np.exp(-np.exp(-ordered))
    farthest = np.abs(cdf - (np.arange(n) + 0.5) / n).max()
    assert farthest < 1.95 / np.sqrt(n)  # Kolmogorov-Smirnov, one in a thousand


def test_philox_gumbel_extreme_words_are_finite():
    lowest, highest = (np.float32((bits + 0.5) / 2**23) for bits in (0, 2**23 - 1))
    assert 0 < lowest < highest < 1
    drawn = philox_gumbel(seed=1, first_stream=1, stream_count=2, count=500_000)
    assert np.isfinite(drawn).all()
    assert drawn.min() >= -np.log(-np.log(lowest)) - 1e-5
    assert drawn.max() <= -np.log(-np.log(highest)) + 1e-5


def test_request_noise_of_fixed_seeds_is_constant():
    # Frozen: a new value here means that every answer with a seed changes.
    drawn = philox_gumbel(seed=42, first_stream=1, stream_count=2, count=3)
    frozen = [
        [-0.1235815, -0.7042402, 1.08677],
        [-0.7092406, -1.210588, 0.0009387964],
    ]
    np.testing.assert_allclose(drawn, frozen, rtol=1e-5)
