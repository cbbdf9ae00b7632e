"""The Philox loop equals its reference, which draws from numpy's own generator."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.contract.kernels.philox import philox_uniform
from tests.model.contract.kernels.implementations import LOOPS, assert_same_as_reference

WORDS = st.integers(0, 2**64 - 1)


@pytest.mark.parametrize("loop", LOOPS)
@settings(deadline=None)  # the first example compiles
@given(
    key_low=WORDS,
    key_high=WORDS,
    first=st.integers(0, 2**62),
    shape=st.tuples(st.integers(0, 4), st.integers(0, 40)),
)
def test_philox_uniform_equals_reference(loop, key_low, key_high, first, shape):
    outputs = [np.zeros(shape, dtype=np.float32)]
    assert_same_as_reference(philox_uniform, loop, [key_low, key_high, first], outputs)
