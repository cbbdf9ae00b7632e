"""The sample of the tutorial converts to a canonical log that breaks no rule."""

import runpy
from pathlib import Path

from model.data.log.log_reader import read_log

SAMPLE = Path(__file__).parents[2] / "docs" / "tutorials" / "sample"


def test_sample_csv_converts_to_valid_log(tmp_path: Path):
    script = runpy.run_path(str(SAMPLE / "csv_to_log.py"))

    assert script["main"]([str(SAMPLE), str(tmp_path / "log")]) == 0

    log = read_log(tmp_path / "log")
    assert (len(log.impressions.timestamp), len(log.users.ids), len(log.items.ids)) == (600, 60, 80)
