"""The whole path by its console commands: log -> two nets -> artifact -> an answer over HTTP."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from model.checkpoint import read_checkpoint
from service.cli.demo_client import post_rerank, wait_for_demo_service
from tests.relist_command import run_relist
from tests.toy_log import write_toy_log

pytestmark = pytest.mark.slow

CONFIG = """
[evaluator]
members = 2
hidden = 16
[train_evaluator]
epochs = 3
[generator]
edits = 2
[train_generator]
epochs = 2
min_steps = 0
[serving]
min_relative_gain = 0.02
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run over the toy log."""
    folder = tmp_path_factory.mktemp("run")
    write_toy_log(folder / "log", requests=600, users=40, all_labels=True)
    (folder / "config.toml").write_text(CONFIG)
    config = ["--config", str(folder / "config.toml")]
    where = ["--log", str(folder / "log")]
    nets = [str(folder / kind) for kind in ("evaluator", "generator")]
    assert run_relist("log", "check", folder / "log") == 0
    assert run_relist("train", "evaluator", *where, "--out", nets[0], *config) == 0
    assert (
        run_relist("train", "generator", *where, "--evaluator", nets[0], "--out", nets[1], *config)
        == 0
    )
    pair = ["--evaluator", nets[0], "--generator", nets[1]]
    assert run_relist("export", *pair, "--out", str(folder / "artifact")) == 0
    assert (
        run_relist("evaluate", *where, *pair, "--requests", "20", "--out", str(folder / "report"))
        == 0
    )
    return folder


def test_the_evaluator_learns_what_the_log_holds(run: Path):
    numbers = json.loads((run / "report" / "report.json").read_text())

    assert numbers["logged"]["evaluator"]["auc"] > 0.6  # by chance .5, and the signal is strong


def test_the_report_never_finds_a_served_list_below_the_input_list(run: Path):
    measured = json.loads((run / "report" / "report.json").read_text())["metrics"]

    assert measured["reward_gain_served"][0] >= 0


def test_the_report_says_by_how_much_the_labels_of_a_served_list_are_above_the_input_lists(
    run: Path,
):
    numbers = json.loads((run / "report" / "report.json").read_text())
    measured = numbers["metrics"]

    for name in ("ndcg@4", "map@4", "precision@4"):  # lists have four slots, fewer than the cuts
        served, given = measured[f"{name}_served"], measured[f"{name}_input"]
        above = measured[f"{name}_above_input_served"]
        assert above[0] == pytest.approx(served[0] - given[0], abs=1e-9)
        assert above[2] - above[1] < (served[2] - served[1]) + (given[2] - given[1])
    promised = sum(part["num_requests"] * part["predicted"] for part in numbers["deciles"]) / 20
    assert promised == pytest.approx(measured["reward_served"][0])
    page = (run / "report" / "report.md").read_text()
    assert "NDCG@4 by the labels of all candidates, difference to the input list" in page


def test_the_trained_artifact_serves_real_requests_of_the_later_part(run: Path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environ = {
        **os.environ,
        "RERANK_ARTIFACT_DIR": str(run / "artifact"),
        "RERANK_REDIS_URL": "memory://",
        "RERANK_USERS_FILE": str(run / "generator" / "users.bin"),
        "RERANK_PORT": str(port),
        "RERANK_REQUEST_BUDGET_MS": "900",
        "RERANK_FEATURE_BUDGET_MS": "500",
    }
    service = subprocess.Popen([sys.executable, "-m", "service.cli.main", "serve"], env=environ)
    try:
        base = f"http://127.0.0.1:{port}"
        wait_for_demo_service(base, service, 60.0)
        lines = (run / "generator" / "requests.jsonl").read_text().splitlines()[:30]
        changed = 0
        for line in lines:
            request = json.loads(line)["request"]
            answer = post_rerank(base, request)
            ids = [item["item_id"] for item in answer["items"]]
            assert answer["degraded"] == []
            assert len(set(ids)) == len(ids)
            assert set(ids) <= set(request["candidates"]["item_id"])
            assert answer["reward"] >= answer["input_reward"]
            changed += ids != request["candidates"]["item_id"][: len(ids)]
            again = post_rerank(base, {**request, "seed": answer["seed"]})
            assert again["items"] == answer["items"]
        assert changed > 0
    finally:
        service.terminate()
        assert service.wait(timeout=20) == 0


def test_training_again_with_the_same_seeds_gives_the_same_weights(run: Path, tmp_path: Path):
    again = ["--log", str(run / "log"), "--out", str(tmp_path / "evaluator")]
    assert run_relist("train", "evaluator", *again, "--config", run / "config.toml") == 0

    first = read_checkpoint(run / "evaluator").weights
    second = read_checkpoint(tmp_path / "evaluator").weights
    assert all(torch.equal(first[name], second[name]) for name in first)
