from __future__ import annotations

from pathlib import Path

import pytest

from model.config import Config
from model.config_values import ConfigError
from model.offline_report.comparison.logs import QUICK, own_problem
from tests.logs import write_toy_log


def test_an_objective_that_asks_for_item_values_is_refused_before_anything_is_trained(
    tmp_path: Path,
):
    log = write_toy_log(tmp_path / "log", requests=60, users=6, candidates=6, slots=3)
    plain = Config.from_mapping({"objective": {"click": 1.0, "conversion": 2.0}})
    valued = Config.from_mapping({"objective": {"value": 0.5, "value_field": "price"}})

    assert own_problem(log, plain, QUICK).config.objective.conversion == 2.0
    with pytest.raises(ConfigError, match=r"\[objective\] value = 0.5: .*relist-measure"):
        own_problem(log, valued, QUICK)
