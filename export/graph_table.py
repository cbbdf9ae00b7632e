"""Nodes, arithmetic and time of an artifact's graphs: `python -m export.graph_table`.

Also what the optimizer's choices give (`graph_variants.py`). Stands here because it needs ONNX
Runtime and an artifact, and no service. Not part of an export.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from export.batching import golden_requests
from export.golden import Arrays, refining
from export.graph_profile import GraphProfile, profile
from export.graph_variants import TURNED_OFF, VARIANTS
from export.parity import batch, proposed, rows
from model.contract.choice import Objective, choose, reward
from model.contract.manifest import (
    EVALUATOR,
    GENERATOR,
    GENERATOR_RULES,
    REFINER,
    REFINER_RULES,
    Manifest,
    read_manifest,
)

_COMPARED = 64  # golden requests whose chosen lists are compared
_RULES = 2
_SHOWN_KINDS = 8


def feeds_of(inputs: Arrays, row: int, generator: ort.InferenceSession) -> Arrays:
    """All graphs' inputs for one golden request, with rules that a list obeys anyway."""
    one = rows(inputs, slice(row, row + 1))
    one |= proposed(generator, one)[1]
    n, m = one["cand_valid"].shape[1], one["slot_valid"].shape[1]
    lists = np.concatenate([one["noise_slot"].shape[1] * [one["start"]], [one["start"]]])
    return (
        one
        | refining(one, Objective())
        | {
            "at": one["start"],
            "rule_member": np.ones((1, _RULES, n), dtype=bool),
            "rule_slots": np.ones((1, _RULES, m), dtype=bool),
            "rule_min": np.zeros((1, _RULES), dtype=np.float32),
            "rule_max": np.full((1, _RULES), m, dtype=np.float32),
            "lists": lists.transpose(1, 0, 2).astype(np.int32),
        }
    )


def times(
    sessions: Mapping[str, ort.InferenceSession], feeds: Sequence[Arrays], rounds: int
) -> dict[str, list[float]]:
    """Microseconds of the thread's own time, a value a round; every session meets each round."""
    rng = random.Random(0)
    spent: dict[str, list[float]] = {name: [] for name in sessions}
    taken = {name: [i.name for i in s.get_inputs()] for name, s in sessions.items()}
    for turn in range(rounds + 2):
        one = feeds[turn % len(feeds)]
        for name in rng.sample(list(sessions), len(sessions)):
            held = {key: one[key] for key in taken[name]}
            began = time.thread_time()
            sessions[name].run(None, held)
            if turn >= 2:  # the first fill caches
                spent[name].append((time.thread_time() - began) * 1e6)
    return spent


def chosen(
    generator: ort.InferenceSession,
    evaluator: ort.InferenceSession,
    inputs: Arrays,
    manifest: Manifest,
) -> list[tuple[int, ...]]:
    """The served list of each golden request."""
    weights = manifest.objective.weights
    found = []
    for row in range(min(_COMPARED, batch(inputs))):
        one = rows(inputs, slice(row, row + 1))
        lists, told = proposed(generator, one)
        one |= told
        one["lists"] = np.concatenate([lists, one["start"][:, None]], axis=1)
        outs = evaluator.run(None, {i.name: one[i.name] for i in evaluator.get_inputs()})
        rewards = reward(
            outs[0],
            outs[1] if manifest.converts else None,
            None,
            one["slot_valid"],
            weights,
        )
        at = int(choose(rewards, manifest.pessimism)[0])
        found.append(tuple(one["lists"][0, at].tolist()))
    return found


def variant_table(
    models: Mapping[str, Path], inputs: Arrays, manifest: Manifest, rounds: int
) -> list[str]:
    """Nodes that run, and time beside the first variant in the same round."""
    generator = VARIANTS[0].open(models[GENERATOR])
    feeds = [feeds_of(inputs, row, generator) for row in range(8)]
    lines = [
        "| variant | generator nodes | us | to served | evaluator nodes | us | to served | same "
        "chosen lists |",
        "|---|---|---|---|---|---|---|---|",
    ]
    cells: dict[str, list[str]] = {v.name: [] for v in VARIANTS}
    opened = {g: {v.name: v.open(models[g]) for v in VARIANTS} for g in (GENERATOR, EVALUATOR)}
    for graph, sessions in opened.items():
        spent = times(sessions, feeds, rounds)
        served = spent[VARIANTS[0].name]
        for v in VARIANTS:
            seen = profile(v.change(models[graph]), feeds[0], disabled=v.disabled, level=v.level)
            ratio = statistics.median(a / b for a, b in zip(spent[v.name], served, strict=True))
            cells[v.name] += [
                str(seen.nodes),
                f"{statistics.median(spent[v.name]):.0f}",
                f"{ratio:.2f}",
            ]
    lists = {
        v.name: chosen(opened[GENERATOR][v.name], opened[EVALUATOR][v.name], inputs, manifest)
        for v in VARIANTS
    }
    first = lists[VARIANTS[0].name]
    for name, found in lists.items():
        same = sum(a == b for a, b in zip(found, first, strict=True))
        lines.append(f"| {name} | {' | '.join(cells[name])} | {same} of {len(first)} |")
    return lines


def graph_table(
    models: Mapping[str, Path], inputs: Arrays, rounds: int
) -> tuple[list[str], dict[str, GraphProfile]]:
    """The graphs as they are served."""
    sessions = {g: VARIANTS[0].open(m) for g, m in models.items()}
    feeds = [feeds_of(inputs, row, sessions[GENERATOR]) for row in range(8)]
    spent = times(sessions, feeds, rounds)
    lines = [
        "| graph | nodes in the file | nodes that run | MFLOP | us (quartiles) | GFLOP/s |",
        "|---|---|---|---|---|---|",
    ]
    seen = {}
    for graph, model in models.items():
        seen[graph] = profile(model, feeds[0], disabled=TURNED_OFF)
        written = len(onnx.load(model, load_external_data=False).graph.node)
        low, middle, high = statistics.quantiles(spent[graph], n=4)
        mflop = seen[graph].mflop
        lines.append(
            f"| {graph} | {written} | {seen[graph].nodes} | {mflop:.1f} "
            f"| {middle:.0f} ({low:.0f}-{high:.0f}) | {mflop / middle * 1e3:.1f} |"
        )
    return lines, seen


def kind_table(seen: Mapping[str, GraphProfile]) -> list[str]:
    """Where the kernels' time goes, by kind of node."""
    lines = []
    for graph, found in seen.items():
        total = sum(found.microseconds.values())
        kinds = [
            f"{kind} {found.kinds[kind]} nodes {spent / total:.0%}"
            for kind, spent in found.microseconds.most_common(_SHOWN_KINDS)
        ]
        lines.append(f"- {graph}: {', '.join(kinds)}")
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m export.graph_table", description=__doc__)
    parser.add_argument("--artifact", type=Path, required=True, help="an artifact's own folder")
    parser.add_argument("--candidates", type=int, default=100, help="N (default: 100)")
    parser.add_argument("--rounds", type=int, default=100)
    given = parser.parse_args(argv)
    folder = given.artifact.resolve()
    manifest = read_manifest(folder)
    models = {
        name: folder / manifest.graphs[name].file
        for name in (GENERATOR, GENERATOR_RULES, EVALUATOR, REFINER, REFINER_RULES)
        if name in manifest.graphs
    }
    inputs = golden_requests(folder, given.candidates)
    n, k = inputs["noise_item"].shape[3], inputs["noise_item"].shape[1]
    lines, seen = graph_table(models, inputs, given.rounds)
    size = f"N {n}, K {k}, M {inputs['start'].shape[1]}, {_RULES} rules, {given.rounds} rounds"
    told = [size, "", *lines, "", *kind_table(seen), ""]
    told += variant_table(models, inputs, manifest, given.rounds)
    sys.stdout.write("\n".join(told) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
