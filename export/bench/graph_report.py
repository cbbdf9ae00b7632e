"""Nodes, arithmetic and time of an artifact's graphs: `python -m export.bench.graph_report`.

Also compares the session options of `session_variants.py`. An export does not use it.
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

from export.bench.batching_benefit import read_golden_requests
from export.bench.onnx_profile import GraphProfile, profile_graph
from export.bench.session_variants import DISABLED_OPTIMIZERS, SESSION_VARIANTS
from export.golden import NamedArrays, golden_refiner_inputs
from export.parity import batch_size, run_generator, slice_requests
from model.contract.artifact.manifest import (
    EVALUATOR_GRAPH,
    GENERATOR_GRAPH,
    GENERATOR_RULES_GRAPH,
    REFINER_GRAPH,
    REFINER_RULES_GRAPH,
    Manifest,
    read_manifest,
)
from model.contract.scoring.objective import RewardWeights, compute_rewards, select_lists

_COMPARED = 64  # golden requests whose selected lists are compared
_RULES = 2
_SHOWN_KINDS = 8


def graph_feeds(inputs: NamedArrays, row: int, generator: ort.InferenceSession) -> NamedArrays:
    """All graphs' inputs for one golden request, with rules that every list obeys."""
    one = slice_requests(inputs, slice(row, row + 1))
    one |= run_generator(generator, one)[1]
    n, m = one["cand_valid"].shape[1], one["slot_valid"].shape[1]
    lists = np.concatenate([one["noise_slot"].shape[1] * [one["start"]], [one["start"]]])
    return (
        one
        | golden_refiner_inputs(one, RewardWeights())
        | {
            "at": one["start"],
            "rule_member": np.ones((1, _RULES, n), dtype=bool),
            "rule_slots": np.ones((1, _RULES, m), dtype=bool),
            "rule_min": np.zeros((1, _RULES), dtype=np.float32),
            "rule_max": np.full((1, _RULES), m, dtype=np.float32),
            "lists": lists.transpose(1, 0, 2).astype(np.int32),
        }
    )


def session_microseconds(
    sessions: Mapping[str, ort.InferenceSession], feeds: Sequence[NamedArrays], rounds: int
) -> dict[str, list[float]]:
    """Microseconds of the thread's CPU time, one value per round; sessions are interleaved."""
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


def proposed_lists(
    generator: ort.InferenceSession,
    evaluator: ort.InferenceSession,
    inputs: NamedArrays,
    manifest: Manifest,
) -> list[tuple[int, ...]]:
    """The served list of each golden request."""
    weights = manifest.objective.reward_weights
    found = []
    for row in range(min(_COMPARED, batch_size(inputs))):
        one = slice_requests(inputs, slice(row, row + 1))
        lists, told = run_generator(generator, one)
        one |= told
        one["lists"] = np.concatenate([lists, one["start"][:, None]], axis=1)
        outs = evaluator.run(None, {i.name: one[i.name] for i in evaluator.get_inputs()})
        rewards = compute_rewards(
            outs[0],
            outs[1] if manifest.converts else None,
            None,
            one["slot_valid"],
            weights,
        )
        at = int(select_lists(rewards, manifest.risk_aversion)[0])
        found.append(tuple(one["lists"][0, at].tolist()))
    return found


def variant_table(
    models: Mapping[str, Path], inputs: NamedArrays, manifest: Manifest, rounds: int
) -> list[str]:
    """Executed nodes, and time relative to the first variant in the same round."""
    generator = SESSION_VARIANTS[0].open_session(models[GENERATOR_GRAPH])
    feeds = [graph_feeds(inputs, row, generator) for row in range(8)]
    lines = [
        "| variant | generator nodes | us | to served | evaluator nodes | us | to served | same "
        "chosen lists |",
        "|---|---|---|---|---|---|---|---|",
    ]
    cells: dict[str, list[str]] = {v.name: [] for v in SESSION_VARIANTS}
    opened = {
        g: {v.name: v.open_session(models[g]) for v in SESSION_VARIANTS}
        for g in (GENERATOR_GRAPH, EVALUATOR_GRAPH)
    }
    for graph, sessions in opened.items():
        spent = session_microseconds(sessions, feeds, rounds)
        served = spent[SESSION_VARIANTS[0].name]
        for v in SESSION_VARIANTS:
            seen = profile_graph(
                v.transform_model(models[graph]),
                feeds[0],
                disabled_optimizers=v.disabled_optimizers,
                optimization_level=v.optimization_level,
            )
            ratio = statistics.median(a / b for a, b in zip(spent[v.name], served, strict=True))
            cells[v.name] += [
                str(seen.node_count),
                f"{statistics.median(spent[v.name]):.0f}",
                f"{ratio:.2f}",
            ]
    lists = {
        v.name: proposed_lists(
            opened[GENERATOR_GRAPH][v.name], opened[EVALUATOR_GRAPH][v.name], inputs, manifest
        )
        for v in SESSION_VARIANTS
    }
    first = lists[SESSION_VARIANTS[0].name]
    for name, found in lists.items():
        same = sum(a == b for a, b in zip(found, first, strict=True))
        lines.append(f"| {name} | {' | '.join(cells[name])} | {same} of {len(first)} |")
    return lines


def graph_table(
    models: Mapping[str, Path], inputs: NamedArrays, rounds: int
) -> tuple[list[str], dict[str, GraphProfile]]:
    """Nodes, arithmetic and time of the graphs as they are served."""
    sessions = {g: SESSION_VARIANTS[0].open_session(m) for g, m in models.items()}
    feeds = [graph_feeds(inputs, row, sessions[GENERATOR_GRAPH]) for row in range(8)]
    spent = session_microseconds(sessions, feeds, rounds)
    lines = [
        "| graph | nodes in the file | nodes that run | MFLOP | us (quartiles) | GFLOP/s |",
        "|---|---|---|---|---|---|",
    ]
    seen = {}
    for graph, model in models.items():
        seen[graph] = profile_graph(model, feeds[0], disabled_optimizers=DISABLED_OPTIMIZERS)
        written = len(onnx.load(model, load_external_data=False).graph.node)
        low, middle, high = statistics.quantiles(spent[graph], n=4)
        mflop = seen[graph].mflop
        lines.append(
            f"| {graph} | {written} | {seen[graph].node_count} | {mflop:.1f} "
            f"| {middle:.0f} ({low:.0f}-{high:.0f}) | {mflop / middle * 1e3:.1f} |"
        )
    return lines, seen


def op_type_table(profiles: Mapping[str, GraphProfile]) -> list[str]:
    """Kernel time by type of node."""
    lines = []
    for graph, found in profiles.items():
        total = sum(found.op_microseconds.values())
        kinds = [
            f"{kind} {found.op_counts[kind]} nodes {spent / total:.0%}"
            for kind, spent in found.op_microseconds.most_common(_SHOWN_KINDS)
        ]
        lines.append(f"- {graph}: {', '.join(kinds)}")
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables as Markdown."""
    parser = argparse.ArgumentParser(
        prog="python -m export.bench.graph_report", description=__doc__
    )
    parser.add_argument("--artifact", type=Path, required=True, help="an artifact's own folder")
    parser.add_argument("--candidates", type=int, default=100, help="N (default: 100)")
    parser.add_argument("--rounds", type=int, default=100)
    given = parser.parse_args(argv)
    folder = given.artifact.resolve()
    manifest = read_manifest(folder)
    models = {
        name: folder / manifest.graphs[name].file
        for name in (
            GENERATOR_GRAPH,
            GENERATOR_RULES_GRAPH,
            EVALUATOR_GRAPH,
            REFINER_GRAPH,
            REFINER_RULES_GRAPH,
        )
        if name in manifest.graphs
    }
    inputs = read_golden_requests(folder, given.candidates)
    n, k = inputs["noise_item"].shape[3], inputs["noise_item"].shape[1]
    lines, seen = graph_table(models, inputs, given.rounds)
    size = f"N {n}, K {k}, M {inputs['start'].shape[1]}, {_RULES} rules, {given.rounds} rounds"
    told = [size, "", *lines, "", *op_type_table(seen), ""]
    told += variant_table(models, inputs, manifest, given.rounds)
    sys.stdout.write("\n".join(told) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
