"""The worlds benchmark from end to end on small logs; values of trained nets are not checked."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest

from model.data.movielens import download
from model.evaluation.worlds.worlds_page import format_worlds_page
from tests.model.data.movielens.ratings_wheel import write_ratings_wheel
from tests.relist_command import run_relist

CONFIG = """
[evaluator]
hidden = 8
members = 2
factor_width = 8
[train_evaluator]
epochs = 1
[generator]
hidden = 8
edits = 2
[train_generator]
epochs = 1
min_steps = 0
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("worlds")
    write_ratings_wheel(folder / "some.whl")
    (folder / "tiny.toml").write_text(CONFIG, encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def _accept_wheel(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256((folder / "some.whl").read_bytes()).hexdigest()
    monkeypatch.setattr(download, "WHEEL_SHA256", digest)


def _run(folder: Path, worlds: str, *more: str) -> int:
    return run_relist(
        *("benchmark", "--worlds", worlds, "--out", folder / "out", "--work", folder / "work"),
        *("--wheel", folder / "some.whl", "--processes", "1", *more),
    )


def _train(folder: Path, worlds: str, *more: str) -> int:
    config = str(folder / "tiny.toml")
    sizes = ("--config", config, "--lists", "400", "--requests", "40", "--methods", "prm")
    return _run(folder, worlds, *sizes, *more)


def _rows(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "out" / "worlds.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.slow
def test_worlds_benchmark_resumes_and_adds_rows(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert _train(folder, "choice") == 0
    first = capsys.readouterr().err
    assert "choice 400 tiny 0: " in first
    (before,) = _rows(folder)

    assert _train(folder, "choice,decoy_no_exploration") == 0

    second = capsys.readouterr().err
    assert "choice 400 tiny 0: " not in second, "a finished job ran again"
    assert "decoy_no_exploration 400 tiny 0: " in second
    rows = _rows(folder)
    assert rows[0] == before
    assert [row["world"] for row in rows] == ["choice", "decoy_no_exploration"]
    for row in rows:
        _check_row(row)
    page = (folder / "out" / "worlds.md").read_text(encoding="utf-8")
    assert "## choice, 400, tiny" in page
    assert "LightGBM lambdarank, in-list context" in page


def _check_row(row: dict[str, Any]) -> None:
    lists = row["lists"]
    assert set(lists) == {
        *("served", "single", "input", "relevance", "exact", "taste", "in_list_trees", "prm"),
    }
    assert (row["lists"]["input"]["true_share"][0], row["requests"]) == (0.0, 40)
    for kind in lists:
        share, low, high = lists[kind]["true_share"]
        assert low <= share <= high <= 1 + 1e-9
        worse, low, high = lists[kind]["truly_worse"]
        assert 0 <= low <= worse <= high <= 1
    for kind in ("served", "relevance", "exact"):
        assert math.isfinite(lists[kind]["promised_gain"])
        assert len(lists[kind]["promise_deciles"]) == 10
    best = lists["exact"]["promised_gain"]
    assert best >= max(lists[kind]["promised_gain"] for kind in ("served", "relevance")) - 1e-6


def test_describe_writes_one_line_a_world(folder: Path):
    assert _run(folder, "choice,survival_fresh_items", "--describe") == 0

    lines = (folder / "out" / "worlds_described.md").read_text(encoding="utf-8").splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["choice", "survival_fresh_items"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("desing",), "--worlds desing: is none of listwise"),
        (("choice", "--methods", "pointwise"), "--methods pointwise: is none of prm, pier"),
        (("choice", "--seeds", "x"), "--seeds x: is no list of whole numbers"),
    ],
)
def test_worlds_with_wrong_option_exit_2(
    arguments: tuple[str, ...], words: str, folder: Path, capsys: pytest.CaptureFixture[str]
):
    assert _run(folder, *arguments) == 2
    assert words in capsys.readouterr().err


def test_worlds_page_averages_seeds():
    def row(seed: int, share: float, deciles: list[list[float]]) -> dict[str, Any]:
        served = {
            "true_share": [share, share - 0.1, share + 0.1],
            "truly_worse": [0.1, 0.05, 0.2],
            "relative_gain": [0.2, 0.1, 0.3],
            "promise_ratio": [1.2, 1.0, 1.4],
            "promise_deciles": deciles,
        }
        return {
            **{"world": "choice", "half": "design", "form": "choice", "log": "static"},
            **{"training_lists": 800, "slots": 4, "candidates": 12, "seed": seed, "config": "tiny"},
            **{"requests": 40, "seconds": 120.0, "lists": {"served": served}},
        }

    rows = [row(0, 0.4, [[1.0, 2.0]]), row(1, 0.6, [[3.0, 1.0]])]

    page = format_worlds_page(rows, "relist benchmark --worlds choice")

    assert "| 0.500 [0.400, 0.600] | 10.0% [5.0%, 20.0%] | 1.20 [0.5, 3.0] |" in page
