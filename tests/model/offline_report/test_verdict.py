from __future__ import annotations

import pytest

from model.offline_report.comparison.summary import Row
from model.offline_report.comparison.verdict import Against


def row(value: float, low: float | None, high: float | None) -> Row:
    return Row(
        problem="p", part="comparison", method="m", seed=None, lists="served8", measure="x",
        value=value, low=low, high=high,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("theirs", "ahead", "clear"),
    [
        (row(0.9, 0.7, 1.0), True, True),
        (row(0.6, 0.55, 0.7), True, False),  # .55 is within ours
        (row(0.4, 0.3, 0.5), False, False),
        (row(0.1, 0.0, 0.2), False, True),
        (row(0.9, None, None), True, False),  # no interval, no certainty
        (row(0.9, float("nan"), float("nan")), True, False),
    ],
)
def test_a_method_is_beyond_the_intervals_where_they_do_not_meet(
    theirs: Row, ahead: bool, clear: bool
):
    against = Against(method="m", kind="served", row=theirs, ours=row(0.5, 0.4, 0.6))

    assert (against.ahead, against.clear) == (ahead, clear)
