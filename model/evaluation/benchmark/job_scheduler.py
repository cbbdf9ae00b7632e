"""Runs jobs in single-threaded processes, in the order of their dependencies."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process

import torch
from tqdm import tqdm

from model.evaluation.benchmark.job_cache import BenchmarkJob, JobCache, job_digest

JOB_LOG = "log.txt"  # stderr of a job, in its folder


class JobFailed(Exception):
    """A job failed; the message has its title and the path of its log."""

    def __init__(self, job: BenchmarkJob, cache: JobCache, reason: str) -> None:
        super().__init__(f"{job.title}: {reason} (see {cache.job_dir(job) / JOB_LOG})")


def run_jobs(jobs: Sequence[BenchmarkJob], cache: JobCache, processes: int) -> None:
    """Run the incomplete jobs and their incomplete dependencies, with a progress bar.

    Raises:
        JobFailed: at the first job that fails; finished jobs stay in the cache.
    """
    waiting = [job for job in _in_dependency_order(jobs) if not cache.is_complete(job)]
    if not waiting:
        return
    bar = tqdm(total=len(waiting), unit="job", desc="report", disable=None, dynamic_ncols=True)
    context = get_context("spawn")  # torch's threads do not survive a fork
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_init_worker)
    running: dict[Future[float], BenchmarkJob] = {}
    try:
        with bar:
            while waiting or running:
                _submit(waiting, running, pool, cache, processes)
                bar.set_postfix_str(", ".join(job.title for job in running.values()))
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    job = running.pop(future)
                    seconds = _result(future, job, cache)
                    bar.write(f"{job.title}: {seconds:.1f} s", file=sys.stderr)
                    bar.update()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def run_in_process(job: BenchmarkJob, cache: JobCache) -> float:
    """Run one job in this process; returns seconds. Its stderr goes to a file in its folder."""
    folder = cache.job_dir(job)
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with (folder / JOB_LOG).open("w", encoding="utf-8") as log, _redirect_stderr(log.fileno()):
        try:
            job.run(cache)
        except Exception:
            traceback.print_exc()
            raise
    cache.mark_complete(job)
    return time.monotonic() - started


def _submit(
    waiting: list[BenchmarkJob],
    running: dict[Future[float], BenchmarkJob],
    pool: ProcessPoolExecutor,
    cache: JobCache,
    processes: int,
) -> None:
    """Submit jobs whose dependencies are complete, up to the number of processes."""
    for job in list(waiting):
        if len(running) >= processes:
            return
        if all(cache.is_complete(dependency) for dependency in job.dependencies()):
            waiting.remove(job)
            running[pool.submit(run_in_process, job, cache)] = job


def _result(future: Future[float], job: BenchmarkJob, cache: JobCache) -> float:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise JobFailed(job, cache, "its process died, possibly out of memory") from error
    except Exception as error:
        raise JobFailed(job, cache, f"{type(error).__name__}: {error}") from error


def _in_dependency_order(jobs: Sequence[BenchmarkJob]) -> list[BenchmarkJob]:
    """All jobs and their dependencies without duplicates, dependencies first."""
    ordered: dict[str, BenchmarkJob] = {}

    def visit(job: BenchmarkJob) -> None:
        if job_digest(job) not in ordered:
            for dependency in job.dependencies():
                visit(dependency)
            ordered[job_digest(job)] = job

    for job in jobs:
        visit(job)
    return list(ordered.values())


def _init_worker() -> None:
    """Use one torch thread and exit the worker when its parent process ends."""
    torch.set_num_threads(1)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextlib.contextmanager
def _redirect_stderr(file: int) -> Iterator[None]:
    """Redirect file descriptor 2, which native libraries use too, to another descriptor."""
    sys.stderr.flush()
    before = os.dup(2)
    os.dup2(file, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(before, 2)
        os.close(before)
