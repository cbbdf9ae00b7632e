"""Cache of job results: one folder for each job, named by a digest of its dependencies.

Defines the job protocol. Does not run jobs, see `job_scheduler.py`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

CACHE_FORMAT = 1  # increment if the meaning of cached files changes
COMPLETE_MARKER = "done"
JobArrays = dict[str, NDArray[Any]]


class BenchmarkJob(Protocol):
    """A cached computation. Jobs are frozen dataclasses; equal fields mean the same job."""

    @property
    def title(self) -> str:
        """Name in progress messages."""
        ...

    def cache_key(self) -> str:
        """Everything that the result depends on besides other jobs, as text."""
        ...

    def dependencies(self) -> tuple[BenchmarkJob, ...]:
        """Jobs whose results this job reads."""
        ...

    def run(self, cache: JobCache) -> None:
        """Compute the result and write it to `cache.job_dir(self)`."""
        ...


@dataclass(frozen=True, slots=True)
class JobCache:
    """Results of jobs, each in a folder below `root`."""

    root: Path

    def job_dir(self, job: BenchmarkJob) -> Path:
        """Folder of the job's result; may not exist yet."""
        return self.root / f"{type(job).__name__}-{job_digest(job)}"

    def is_complete(self, job: BenchmarkJob) -> bool:
        """Whether the job finished."""
        return (self.job_dir(job) / COMPLETE_MARKER).exists()

    def mark_complete(self, job: BenchmarkJob) -> None:
        """Mark the job as finished."""
        (self.job_dir(job) / COMPLETE_MARKER).touch()

    def write_arrays(self, job: BenchmarkJob, arrays: JobArrays) -> None:
        """Write the arrays of a job."""
        np.savez(self.job_dir(job) / "arrays.npz", allow_pickle=False, **arrays)

    def read_arrays(self, job: BenchmarkJob) -> JobArrays:
        """Read the arrays of a finished job."""
        with np.load(self.job_dir(job) / "arrays.npz", allow_pickle=False) as file:
            return {name: file[name] for name in file.files}

    def write_values(self, job: BenchmarkJob, values: dict[str, Any]) -> None:
        """Write JSON values of a job."""
        path = self.job_dir(job) / "values.json"
        path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")

    def read_values(self, job: BenchmarkJob) -> dict[str, Any]:
        """Read the JSON values of a finished job."""
        text = (self.job_dir(job) / "values.json").read_text(encoding="utf-8")
        return dict(json.loads(text))


def job_digest(job: BenchmarkJob) -> str:
    """16 hex digits that identify the job and its dependencies."""
    parts = [
        str(CACHE_FORMAT),
        type(job).__name__,
        job.cache_key(),
        *map(job_digest, job.dependencies()),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
