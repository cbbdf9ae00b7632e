from __future__ import annotations

import numpy as np
import pytest

from model.offline_report.comparison.optimism import Promise, honest_lambda, promise

# two members, one request, two lists and the input list: gains (.4, .2) and (.9, -.1)
FIRST = np.array([[[1.4, 1.9, 1.0]], [[1.2, 0.9, 1.0]]])
SECOND = np.array([[[2.1, 1.5, 2.0]]])


@pytest.mark.parametrize(
    ("pessimism", "promised", "second", "spread"),
    [
        (0.0, 0.4, -0.5, 0.5),  # the second list: means .3 and .4
        (1.0, 0.3, 0.1, 0.1),  # the first one: .3 - .1 against .4 - .5
        (4.0, 0.0, 0.0, 0.0),  # neither: the input list
    ],
)
def test_a_promise_is_that_of_the_lists_served_with_this_lambda(
    pessimism: float, promised: float, second: float, spread: float
):
    found = promise(FIRST, SECOND, pessimism)

    assert found.promised == pytest.approx(promised)
    assert found.second == pytest.approx(second)
    assert found.spread == pytest.approx(spread)


def point(pessimism: float, second: float) -> Promise:
    return Promise(pessimism=pessimism, promised=1.0, second=second, spread=0.25)


def test_the_honest_lambda_is_the_smallest_that_keeps_its_promise():
    assert honest_lambda([point(0.0, 0.5), point(1.0, 0.5), point(2.0, 0.5), point(3.0, 0.5)]) == 2
    assert honest_lambda([point(0.0, 1.0)]) == 0, "an evaluator that is not too sure needs none"
    assert honest_lambda([point(0.0, 0.5), point(1.0, 0.5)]) is None
