"""The least gain of a served list falls with clicks in the log and rises without exploration."""

import numpy as np
import pytest

from model.checkpoint import MIN_RELATIVE_GAIN, Checkpoint, resolve_min_relative_gain
from model.config.pipeline_config import PipelineConfig, ServingConfig
from model.contract.schema.fitted import FittedSchema
from model.data.tables.exploration import explored_mask
from model.data.tables.table_cache import load_log_tables
from model.training.gain_threshold import MAX_RELATIVE_GAIN, LogSupport
from tests.toy_log import write_toy_log


def support(clicks: float, explored_share: float = 0.5) -> LogSupport:
    return LogSupport(lists=1000, clicks=clicks, explored_share=explored_share)


def test_min_relative_gain_halves_with_four_times_the_clicks():
    assert support(40_000).min_relative_gain == pytest.approx(0.03)
    assert support(10_000).min_relative_gain == pytest.approx(0.06)


def test_min_relative_gain_is_larger_without_exploration():
    explored, unexplored = support(40_000, 0.01), support(40_000, 0.009)

    assert unexplored.min_relative_gain > 3 * explored.min_relative_gain
    assert explored.is_explored
    assert not unexplored.is_explored


def test_min_relative_gain_of_empty_log_is_bounded():
    assert support(0.0).min_relative_gain == MAX_RELATIVE_GAIN


def test_describe_names_the_log_without_exploration():
    assert "no exploration" in support(100.0, 0.0).describe()
    assert "adjacent" in support(100.0, 0.0).describe()
    assert "no exploration" not in support(100.0).describe()


def test_describe_names_the_configured_gain_instead_of_the_logs():
    assert "at least 6.0% of" in support(10_000).describe()
    assert "at least 0.0% of" in support(10_000).describe(0.0)


def test_log_support_counts_clicks_of_shown_slots_only(tmp_path):
    tables = load_log_tables(write_toy_log(tmp_path, requests=80, users=8, items=20))
    rows = np.arange(len(tables))
    shown = np.arange(tables.slots) < tables.shown_count[:, None]
    first = np.arange(tables.slots) == tables.shown

    found = LogSupport.of_rows(tables, rows)

    assert found.clicks == tables.clicks[shown].sum()
    assert explored_mask(tables, rows).tolist() == (~(first | ~shown).all(axis=1)).tolist()
    assert found.explored_share == pytest.approx(explored_mask(tables, rows).mean())


@pytest.mark.parametrize(("configured", "expected"), [(None, 0.2), (0.0, 0.0), (0.1, 0.1)])
def test_resolve_min_relative_gain_prefers_configured_value(configured, expected):
    evaluator = Checkpoint(
        kind="evaluator",
        config=PipelineConfig(),
        schema=FittedSchema(fields=()),
        slots=1,
        history_length=1,
        max_candidates=1,
        list_sizes=[1],
        weights={},
        metadata={MIN_RELATIVE_GAIN: 0.2},
    )

    assert resolve_min_relative_gain(ServingConfig(min_relative_gain=configured), evaluator) == (
        expected
    )
