"""Cores, CPU time and memory of processes, from Linux."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[2]
REQUIRED_CORES = 2


def first_two_cores() -> tuple[int, int]:
    """A core for the service and one for the load."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < REQUIRED_CORES:
        raise RuntimeError("the benchmark needs two cores: one for the service, one for the load")
    return cores[0], cores[1]


@contextmanager
def child_affinity(cores: Collection[int]) -> Iterator[None]:
    """Context in which started processes run on these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def pin_process(pid: int, core: int) -> None:
    """Pin every thread of a process to one core."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


def child_pids(pid: int) -> list[int]:
    """Process ids of the children of this process."""
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def process_cpu_seconds(pid: int) -> float:
    """CPU time of all threads, to the nanosecond (/proc/PID/stat counts in hundredths)."""
    return _scheduled(pid, 0)


def run_queue_wait_seconds(pid: int) -> float:
    """Time in which threads were ready and another thread ran, of this or another process."""
    return _scheduled(pid, 1)


def core_steal_seconds(core: int) -> float:
    """Time in which this core was ready and the host ran another machine on it."""
    [line] = [x for x in Path("/proc/stat").read_text().splitlines() if x.startswith(f"cpu{core} ")]
    return int(line.split()[8]) / os.sysconf("SC_CLK_TCK")


def _scheduled(pid: int, column: int) -> float:
    """Sum of a column of /proc/PID/task/*/schedstat, in seconds."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((t / "schedstat").read_text().split()[column]) for t in tasks) / 1e9


def process_memory_mb(pid: int) -> dict[str, float]:
    """Resident memory in MB: `rss` all of it, `pss` with shared pages divided among their users."""
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        if name in {"Rss", "Pss"}:
            found[name.lower()] = int(rest.split()[0]) / 1024
    return found


def machine_description() -> dict[str, str]:
    """Machine, commit, date and load, as tables are headed."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        os.uname().machine,
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "machine": f"{os.cpu_count()} cores of {model}, {memory:.0f} GiB",
        "commit": git_commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "load": ", ".join(f"{x:.1f}" for x in os.getloadavg()),
    }


def git_commit() -> str:
    """Short hash, with a `+` when tracked files differ from it."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "-s", "-uno") else "")
