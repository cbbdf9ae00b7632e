from __future__ import annotations

import pytest

from model.offline_report.comparison.summary import Row
from model.offline_report.comparison.tables import at_kind, formatted, served


def row(lists: str, value: float = 0.0, *, measure: str = "value_ratio") -> Row:
    return Row(
        problem="p", part="comparison", method="m", seed=None, lists=lists, measure=measure,
        value=value,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("efforts", "expected"), [((64, 4, 8, 1), 8), ((16, 1, 4), 4), ((1, 16), 1), ((16,), None)]
)
def test_what_a_table_calls_served_is_the_largest_effort_up_to_eight_lists(
    efforts: tuple[int, ...], expected: int | None
):
    rows = [row("single"), *(row(f"served{effort}") for effort in efforts), row("shuffled_served")]

    found = at_kind(rows, "served")

    assert (None if found is None else found.lists) == (expected and f"served{expected}")


def test_what_is_served_stands_by_number_and_not_by_spelling():
    rows = [row("served16"), row("shuffled_served"), row("served2"), row("single"), row("served8")]

    assert [one.lists for one in served(rows)] == ["served2", "served8", "served16"]


def test_shares_of_requests_are_percent_and_shares_of_a_gain_are_not():
    assert formatted(row("single", 0.25, measure="hr@1%")) == "25.0 %"
    assert formatted(row("single", 0.25, measure="truly_worse")) == "25.0 %"
    assert formatted(row("single", 0.25, measure="value_ratio")) == "0.250"
    assert formatted(row("single", float("nan"))) == ""
