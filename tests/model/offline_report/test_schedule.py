"""Jobs here are tiny; the ones that train are in test_report.py."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from model.offline_report.comparison.jobs import Job, Store, digest
from model.offline_report.comparison.schedule import JobFailed, run_jobs


@dataclass(frozen=True)
class Count:
    """Writes one more than the largest of what it needs; fails where it is told to."""

    title: str
    of: tuple[Count, ...] = ()
    setting: int = 0
    breaks: bool = False

    def depends_on(self) -> str:
        return f"{self.setting} {self.breaks}"

    def needs(self) -> tuple[Job, ...]:
        return self.of

    def run(self, store: Store) -> None:
        if self.breaks:
            raise ValueError("nothing to count")
        depth = 1 + max((store.numbers(need)["depth"] for need in self.of), default=0)
        store.write_numbers(self, {"depth": depth, "process": os.getpid()})


pytestmark = pytest.mark.slow  # starts processes that import torch


def test_what_others_need_is_done_first_and_once(tmp_path: Path):
    store = Store(tmp_path)
    leaf = Count("leaf")
    twin = Count("the same by another name")  # equal in all that it depends on
    top = Count("top", of=(Count("left", of=(leaf,), setting=1), Count("right", of=(twin,))))

    run_jobs([top], store, processes=2)

    assert store.numbers(top)["depth"] == 3
    assert digest(leaf) == digest(twin)
    assert len(list(tmp_path.iterdir())) == 4  # leaf, left, right, top
    assert store.numbers(top)["process"] != os.getpid()


def test_a_second_run_does_only_what_changed(tmp_path: Path):
    store = Store(tmp_path)
    leaf = Count("leaf")
    run_jobs([Count("top", of=(leaf,))], store, processes=1)
    before = store.numbers(leaf)["process"]
    changed = Count("top", of=(leaf,), setting=7)

    run_jobs([changed], store, processes=1)

    assert store.done(changed)
    assert store.numbers(leaf)["process"] == before
    assert store.numbers(changed)["process"] != before


def test_a_job_that_fails_is_named_with_its_reason_and_what_it_needed_is_kept(tmp_path: Path):
    store = Store(tmp_path)
    leaf, bad = Count("leaf"), Count("bad", of=(Count("leaf"),), breaks=True)

    with pytest.raises(JobFailed, match=r"bad: ValueError: nothing to count \(see .*log.txt\)"):
        run_jobs([bad], store, processes=1)

    assert store.done(leaf)
    assert not store.done(bad)
    assert "nothing to count" in (store.folder(bad) / "log.txt").read_text(encoding="utf-8")
