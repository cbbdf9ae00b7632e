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

KEPT_FORMAT = 1  # raise whenever what is kept would mean something else
DONE = "done"
Arrays = dict[str, NDArray[Any]]


class Job(Protocol):
    """One thing to be computed. Jobs are frozen dataclasses, so equal ones are the same job."""

    @property
    def title(self) -> str:
        """What progress calls it."""
        ...

    def depends_on(self) -> str:
        """Everything the result depends on that is no other job, as text."""
        ...

    def needs(self) -> tuple[Job, ...]:
        """Jobs whose results it reads."""
        ...

    def run(self, store: Store) -> None:
        """Compute and write into `store.folder(self)`."""
        ...


@dataclass(frozen=True, slots=True)
class Store:
    """Results of jobs, each in its folder below `root`."""

    root: Path

    def folder(self, job: Job) -> Path:
        """Where the job's result is, or will be."""
        return self.root / f"{type(job).__name__}-{digest(job)}"

    def done(self, job: Job) -> bool:
        """Whether the result is whole."""
        return (self.folder(job) / DONE).exists()

    def finish(self, job: Job) -> None:
        """Mark the result as whole."""
        (self.folder(job) / DONE).touch()

    def write_arrays(self, job: Job, arrays: Arrays) -> None:
        """Keep arrays."""
        np.savez(self.folder(job) / "arrays.npz", allow_pickle=False, **arrays)

    def arrays(self, job: Job) -> Arrays:
        """The arrays of a finished job."""
        with np.load(self.folder(job) / "arrays.npz", allow_pickle=False) as file:
            return {name: file[name] for name in file.files}

    def write_numbers(self, job: Job, numbers: dict[str, Any]) -> None:
        """Keep plain values."""
        path = self.folder(job) / "numbers.json"
        path.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")

    def numbers(self, job: Job) -> dict[str, Any]:
        """The plain values of a finished job."""
        text = (self.folder(job) / "numbers.json").read_text(encoding="utf-8")
        return dict(json.loads(text))


def digest(job: Job) -> str:
    """Names the job and all it depends on."""
    parts = [str(KEPT_FORMAT), type(job).__name__, job.depends_on(), *map(digest, job.needs())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
