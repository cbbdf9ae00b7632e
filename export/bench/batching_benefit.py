"""Measure the gain of several requests per graph run.

Run it with `python -m export.bench.batching_benefit`.

Measures an artifact's graphs with 1, 2, 4 and 8 requests per run and simulates a queue with the
times. It decides whether the service should batch at all; an export does not use it.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from export.bench.queue_simulation import BATCH_SIZES, BatchSeconds, simulate_queue
from export.golden import INPUT_PREFIX, NamedArrays
from export.parity import GraphRunner, batch_size, candidate_axes, slice_requests
from model.contract.artifact.manifest import GOLDEN_BATCH_FILE, read_manifest

_LOADS = (0.5, 0.7, 0.8, 0.9)  # of the maximum with one request per run
_ARRIVALS = 100_000


def read_golden_requests(folder: Path, candidates: int | None) -> NamedArrays:
    """The golden batch's requests; with `candidates`, filled up from the next requests."""
    with np.load(folder / GOLDEN_BATCH_FILE, allow_pickle=False) as file:
        inputs = {
            name.removeprefix(INPUT_PREFIX): file[name]
            for name in file.files
            if name.startswith(INPUT_PREFIX)
        }
    return inputs if candidates is None else fill_candidates(inputs, candidates)


def fill_candidates(inputs: NamedArrays, candidates: int) -> NamedArrays:
    """Exactly N valid candidates per request: its own, then those of the next requests in turn.

    Noise of an added candidate is taken from the request that it comes from.
    """
    count = batch_size(inputs)
    axes = {name: axis - 1 for name, axis in candidate_axes(inputs).items()}  # of one request
    parts: dict[str, list[np.ndarray]] = {name: [] for name in axes}
    for row in range(count):
        at = row
        taken: list[tuple[int, np.ndarray]] = []
        while sum(len(places) for _, places in taken) < candidates:
            taken.append((at % count, np.flatnonzero(inputs["cand_valid"][at % count])))
            at += 1
        for name, axis in axes.items():
            pieces = [inputs[name][who].take(places, axis) for who, places in taken]
            joined = np.concatenate(pieces, axis)
            parts[name].append(joined.take(range(candidates), axis))
    wide = {name: np.stack(pieces) for name, pieces in parts.items()}
    return inputs | wide | {"cand_valid": np.ones((count, candidates), dtype=bool)}


def batch_cpu_seconds(
    runner: GraphRunner, inputs: NamedArrays, rounds: int, rng: random.Random
) -> dict[int, list[float]]:
    """CPU seconds per request, by requests per run, one value per round.

    In each round every size answers the same eight requests, in another order of sizes, so that
    the load of the machine affects all sizes alike. Counts the CPU time of the calling thread,
    because runs are single-threaded and other processes may use the machine.
    """
    spent: dict[int, list[float]] = {size: [] for size in BATCH_SIZES}
    most = max(BATCH_SIZES)
    for _ in range(rounds):
        first = rng.randrange(batch_size(inputs) - most)
        for size in rng.sample(BATCH_SIZES, len(BATCH_SIZES)):
            parts = [
                slice_requests(inputs, slice(at, at + size))
                for at in range(first, first + most, size)
            ]
            began = time.thread_time()
            for part in parts:
                runner.predict(part)
            spent[size].append((time.thread_time() - began) / most)
    return spent


def batching_table(cpu_seconds: dict[int, list[float]]) -> tuple[list[str], BatchSeconds]:
    """Medians and ratios to one request per run within each round; and the times for the queue."""
    lines = [f"{'requests a run':>14} {'ms a request':>13} {'ratio':>7} {'quartiles':>13}"]
    costs: BatchSeconds = {}
    one = statistics.median(cpu_seconds[1])
    for size, seconds in cpu_seconds.items():
        ratios = [s / alone for s, alone in zip(seconds, cpu_seconds[1], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4) if size > 1 else (1.0, 1.0, 1.0)
        costs[size] = one * middle * size
        lines.append(
            f"{size:>14} {statistics.median(seconds) * 1e3:13.3f} {middle:7.3f} "
            f"{low:6.3f}-{high:.3f}"
        )
    return lines, costs


def queueing_table(batch_seconds: BatchSeconds, overhead_ms: float) -> list[str]:
    """p50 and p99 of a process that never batches and of one that batches all waiting requests."""
    lines = [
        f"{'load':>5} {'req/s':>6} {'alone p50':>10} {'p99':>7} {'batched p50':>12} {'p99':>7}"
    ]
    lone = {1: batch_seconds[1]}
    for load in _LOADS:
        rate = load / (batch_seconds[1] + overhead_ms / 1e3)
        cells = []
        for kind in (lone, batch_seconds):
            waits = simulate_queue(kind, overhead_ms / 1e3, rate, _ARRIVALS, random.Random(0))
            cut = statistics.quantiles(waits, n=100)
            cells += [cut[49] * 1e3, cut[98] * 1e3]
        lines.append(
            f"{load:5.2f} {rate:6.0f} {cells[0]:10.2f} {cells[1]:7.2f} {cells[2]:12.2f} "
            f"{cells[3]:7.2f}"
        )
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        prog="python -m export.bench.batching_benefit", description=__doc__
    )
    parser.add_argument("--artifact", type=Path, required=True, help="an artifact's own folder")
    parser.add_argument("--candidates", type=int, help="N (default: that of the golden batch)")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument(
        "--other-ms",
        type=float,
        nargs="+",
        default=[0.0, 1.3],
        help="time of a request beside the graphs, on the same core (default: 0 and 1.3)",
    )
    given = parser.parse_args(argv)
    folder = given.artifact.resolve()
    runner = GraphRunner(folder, read_manifest(folder).graphs)
    inputs = read_golden_requests(folder, given.candidates)
    batch_cpu_seconds(runner, inputs, 10, random.Random(1))  # fills caches; not counted
    lines, costs = batching_table(batch_cpu_seconds(runner, inputs, given.rounds, random.Random(2)))
    n, k = inputs["noise_item"].shape[3], inputs["noise_item"].shape[1]
    lines = [f"N {n}, K {k}, M {inputs['start'].shape[1]}, {given.rounds} rounds", *lines]
    for other_ms in given.other_ms:
        lines += [f"beside the graphs {other_ms} ms a request:", *queueing_table(costs, other_ms)]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
