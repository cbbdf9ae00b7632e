from __future__ import annotations

from pathlib import Path

import pytest

from model.config.pipeline_config import PipelineConfig
from model.config.toml_reader import ConfigError
from model.evaluation.benchmark.scenario_presets import QUICK_SIZE, custom_log_scenario
from tests.toy_log import write_toy_log


def test_custom_log_scenario_with_item_values_is_refused(
    tmp_path: Path,
):
    log = write_toy_log(tmp_path / "log", requests=60, users=6, candidates=6, slots=3)
    plain = PipelineConfig.from_mapping({"objective": {"click": 1.0, "conversion": 2.0}})
    valued = PipelineConfig.from_mapping({"objective": {"value": 0.5, "value_field": "price"}})

    assert custom_log_scenario(log, plain, QUICK_SIZE).config.objective.conversion == 2.0
    with pytest.raises(ConfigError, match=r"\[objective\] value = 0.5: .*relist evaluate"):
        custom_log_scenario(log, valued, QUICK_SIZE)
