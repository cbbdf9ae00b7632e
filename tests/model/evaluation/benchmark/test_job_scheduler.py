"""Scheduling of small jobs; jobs that train are tested in test_cli.py."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from model.evaluation.benchmark.job_cache import BenchmarkJob, JobCache, job_digest
from model.evaluation.benchmark.job_scheduler import JobFailed, run_jobs


@dataclass(frozen=True)
class CountJob:
    """Writes 1 + the largest depth of its dependencies; raises if `fails`."""

    title: str
    parents: tuple[CountJob, ...] = ()
    setting: int = 0
    fails: bool = False

    def cache_key(self) -> str:
        return f"{self.setting} {self.fails}"

    def dependencies(self) -> tuple[BenchmarkJob, ...]:
        return self.parents

    def run(self, cache: JobCache) -> None:
        if self.fails:
            raise ValueError("nothing to count")
        depth = 1 + max((cache.read_values(parent)["depth"] for parent in self.parents), default=0)
        cache.write_values(self, {"depth": depth, "process": os.getpid()})


pytestmark = pytest.mark.slow  # starts processes that import torch


def test_run_jobs_dependencies_run_first_and_once(tmp_path: Path):
    cache = JobCache(tmp_path)
    leaf = CountJob("leaf")
    same_leaf = CountJob("other title")  # the title is not part of the digest
    top = CountJob(
        "top",
        parents=(
            CountJob("left", parents=(leaf,), setting=1),
            CountJob("right", parents=(same_leaf,)),
        ),
    )

    run_jobs([top], cache, processes=2)

    assert cache.read_values(top)["depth"] == 3
    assert job_digest(leaf) == job_digest(same_leaf)
    assert len(list(tmp_path.iterdir())) == 4  # leaf, left, right, top
    assert cache.read_values(top)["process"] != os.getpid()


def test_run_jobs_second_run_computes_only_changes(tmp_path: Path):
    cache = JobCache(tmp_path)
    leaf = CountJob("leaf")
    run_jobs([CountJob("top", parents=(leaf,))], cache, processes=1)
    before = cache.read_values(leaf)["process"]
    changed = CountJob("top", parents=(leaf,), setting=7)

    run_jobs([changed], cache, processes=1)

    assert cache.is_complete(changed)
    assert cache.read_values(leaf)["process"] == before
    assert cache.read_values(changed)["process"] != before


def test_run_jobs_failing_job_named_dependencies_cached(tmp_path: Path):
    cache = JobCache(tmp_path)
    leaf, bad = CountJob("leaf"), CountJob("bad", parents=(CountJob("leaf"),), fails=True)

    with pytest.raises(JobFailed, match=r"bad: ValueError: nothing to count \(see .*log.txt\)"):
        run_jobs([bad], cache, processes=1)

    assert cache.is_complete(leaf)
    assert not cache.is_complete(bad)
    assert "nothing to count" in (cache.job_dir(bad) / "log.txt").read_text(encoding="utf-8")
