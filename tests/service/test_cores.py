import os

import pytest

from service.inference.loop_worker import LoopWorker
from service.inference.worker import ThreadWorker
from service.main import cores
from service.main.cores import open_worker, process_cores
from service.settings import Settings


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("150000 100000", 1.5),
        ("50000 100000", 0.5),
        ("max 100000", None),
        ("", None),
        ("100000 0", None),  # and what no kernel writes
        ("-1 100000", None),
        ("100000", None),
        ("\x00\x00 \x00", None),
    ],
)
def test_a_container_has_the_cores_it_is_given_and_no_more_than_there_are(tmp_path, text, most):
    limit = tmp_path / "cpu.max"
    limit.write_text(text)
    there = float(len(os.sched_getaffinity(0)))

    assert process_cores(limit) == (there if most is None else min(there, most))
    assert process_cores(tmp_path / "no such file") == there


@pytest.mark.parametrize(
    ("setting", "there", "workers", "kind"),
    [
        ("auto", 1.0, 1, LoopWorker),
        ("auto", 1.5, 1, LoopWorker),
        ("auto", 2.0, 1, ThreadWorker),
        ("auto", 2.0, 2, LoopWorker),
        ("auto", 8.0, 4, ThreadWorker),
        ("thread", 1.0, 1, ThreadWorker),
        ("loop", 8.0, 1, LoopWorker),
    ],
)
def test_graphs_run_on_the_loop_where_a_worker_has_no_core_for_a_thread_beside_it(
    monkeypatch, tmp_path, setting, there, workers, kind
):
    monkeypatch.setattr(cores, "process_cores", lambda: there)
    settings = Settings(
        artifact_dir=tmp_path, inference=setting, workers=workers, metrics_port=9100
    )

    worker = open_worker(settings)
    try:
        assert isinstance(worker, kind)
    finally:
        worker.close()
