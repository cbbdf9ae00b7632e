"""A job is one thing to be computed and kept; its folder is named by all that it depends on.

A second run finds the folders of what has not changed. Knows nothing of nets: `schedule.py` runs
jobs, the other modules define them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

CACHE_FORMAT = 1  # raise whenever what is kept would mean something else
COMPLETE_MARKER = "done"
JobArrays = dict[str, NDArray[Any]]


class BenchmarkJob(Protocol):
    """One thing to be computed. Jobs are frozen dataclasses, so equal ones are the same job."""

    @property
    def title(self) -> str:
        """What progress calls it."""
        ...

    def cache_key(self) -> str:
        """Everything the result depends on that is no other job, as text."""
        ...

    def dependencies(self) -> tuple[BenchmarkJob, ...]:
        """Jobs whose results it reads."""
        ...

    def run(self, cache: JobCache) -> None:
        """Compute and write into `store.folder(self)`."""
        ...


@dataclass(frozen=True, slots=True)
class JobCache:
    """Results of jobs, each in its folder below `root`."""

    root: Path

    def job_dir(self, job: BenchmarkJob) -> Path:
        """Where the job's result is, or will be."""
        return self.root / f"{type(job).__name__}-{job_digest(job)}"

    def is_complete(self, job: BenchmarkJob) -> bool:
        """Whether the result is whole."""
        return (self.job_dir(job) / COMPLETE_MARKER).exists()

    def mark_complete(self, job: BenchmarkJob) -> None:
        """Mark the result as whole."""
        (self.job_dir(job) / COMPLETE_MARKER).touch()

    def write_arrays(self, job: BenchmarkJob, arrays: JobArrays) -> None:
        """Keep arrays."""
        np.savez(self.job_dir(job) / "arrays.npz", allow_pickle=False, **arrays)

    def read_arrays(self, job: BenchmarkJob) -> JobArrays:
        """The arrays of a finished job."""
        with np.load(self.job_dir(job) / "arrays.npz", allow_pickle=False) as file:
            return {name: file[name] for name in file.files}

    def write_values(self, job: BenchmarkJob, values: dict[str, Any]) -> None:
        """Keep plain values."""
        path = self.job_dir(job) / "values.json"
        path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")

    def read_values(self, job: BenchmarkJob) -> dict[str, Any]:
        """The plain values of a finished job."""
        text = (self.job_dir(job) / "values.json").read_text(encoding="utf-8")
        return dict(json.loads(text))


def job_digest(job: BenchmarkJob) -> str:
    """Names the job and all it depends on."""
    parts = [
        str(CACHE_FORMAT),
        type(job).__name__,
        job.cache_key(),
        *map(job_digest, job.dependencies()),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
