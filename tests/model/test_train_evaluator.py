from pathlib import Path

import numpy as np
import pytest

from model.config import Config
from model.data.split import TRAIN, in_first_half
from model.data.tables import prepare
from model.train_evaluator import EvaluatorTask
from tests.logs import write_toy_log


@pytest.mark.parametrize("half", ["first_half", "second_half"])
def test_an_evaluator_of_half_the_users_learns_from_every_list_of_theirs_and_no_other(
    half: str, tmp_path: Path
):
    tables = prepare(write_toy_log(tmp_path / "log"), sessions=3)
    config = Config.from_mapping({"train_evaluator": {"users": half}})

    rows = EvaluatorTask(config, tables, "cpu", tmp_path).train_rows().numpy()

    mine = in_first_half(tables.users.ids) == (half == "first_half")
    expected = np.flatnonzero((tables.part == TRAIN) & mine[tables.user_place])
    assert 0 < len(rows) < (tables.part == TRAIN).sum()
    assert rows.tolist() == expected.tolist()
