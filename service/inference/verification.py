"""Verifies an artifact before it serves: its golden batch must give the outputs of PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.contract.artifact.manifest import (
    EVALUATOR_GRAPH,
    GENERATOR_GRAPH,
    GOLDEN_BATCH_FILE,
    REFINER_GRAPH,
    SESSIONS_INPUT,
    Manifest,
)
from model.contract.errors import ManifestError
from model.contract.scoring.local_search import iterate_local_search, refiner_fixed_inputs
from model.contract.scoring.objective import compute_rewards, select_lists
from service.errors import InferenceFailed
from service.inference.artifact_reader import Artifact
from service.inference.graphs import OrtRun

GOLDEN_ROWS = 256  # most rows compared, so that a start takes a bounded time
# Rows per run. 16 take as long in all, and the runtime keeps the memory of its largest run: 67 MB.
BATCH = 4
MIN_EQUAL_SHARE = 0.99  # of rows with equal lists and choice: float ties may flip an argmax
_HISTORY = (SESSIONS_INPUT, "sess_valid")  # (B, H, ..)
_VALUES = "values"  # (B, N), not a graph input; only where the objective uses a value

_Arrays = dict[str, NDArray[Any]]


def verify_artifact(artifact: Artifact, rows: int = GOLDEN_ROWS) -> int:
    """Run the golden batch and return the number of rows compared; raises ManifestError."""
    golden = _read_golden(artifact)
    name = str(artifact.folder)
    total = min(rows, len(golden["chosen"]))
    if total == 0:
        raise ManifestError(artifact=name, reason=f"{GOLDEN_BATCH_FILE} is empty")
    equal_lists = equal_choices = 0
    for start in range(0, total, BATCH):
        rows_of_run = slice(start, min(start + BATCH, total))
        part = {key: _rows(key, value, rows_of_run) for key, value in golden.items()}
        try:
            lists, choices = _compare(artifact, part)
        except (InferenceFailed, KeyError, ValueError) as error:
            raise ManifestError(artifact=name, reason=f"golden batch: {error}") from error
        equal_lists += lists
        equal_choices += choices
    for what, equal in (("lists", equal_lists), ("choice", equal_choices)):
        if equal < MIN_EQUAL_SHARE * total:
            raise ManifestError(
                artifact=name,
                reason=f"golden batch: {what} differ in {total - equal} of {total} rows",
            )
    return total


def batching_is_exact(artifact: Artifact) -> bool:
    """Whether a batched run gives the same bits as runs of one request.

    The result depends on the export and on the runtime's kernels for this processor. Without it,
    requests must not share runs, or an answer would depend on concurrent requests.
    """
    golden = _read_golden(artifact)
    inputs = {k.removeprefix("in_"): v for k, v in golden.items() if k.startswith("in_")}
    counts = _session_counts(inputs)
    rows = counts.argsort(kind="stable")[np.linspace(0, len(counts) - 1, BATCH).astype(int)]
    inputs, counts = {k: v[rows] for k, v in inputs.items()}, counts[rows]
    single = [{k: v[row : row + 1] for k, v in inputs.items()} for row in range(BATCH)]
    lengths, vary = artifact.manifest.lengths, artifact.manifest.has_dynamic_sessions
    kept = [lengths.padded_session_count(count, dynamic=vary) for count in counts.tolist()]
    single = [_with_sessions(one, count) for one, count in zip(single, kept, strict=True)]
    batched, alone = _all_outputs(artifact, inputs), [_all_outputs(artifact, s) for s in single]
    return all(
        np.array_equal(value, np.concatenate([one[name][0] for one in alone], axis))
        for name, (value, axis) in batched.items()
    )


def _all_outputs(artifact: Artifact, inputs: _Arrays) -> dict[str, tuple[NDArray[Any], int]]:
    """All outputs of all graphs without rules, each with its batch axis."""
    manifest, graphs, run = artifact.manifest, artifact.graphs, artifact.graphs.bind()
    generated = run.run_graph(GENERATOR_GRAPH, inputs)
    lists = np.concatenate([generated["lists"], inputs["start"][:, None]], axis=1)
    evaluated = run.run_graph(EVALUATOR_GRAPH, inputs | generated | {"lists": lists})
    outputs = {GENERATOR_GRAPH: generated, EVALUATOR_GRAPH: evaluated}
    if manifest.refine_rounds:
        fixed = refiner_fixed_inputs(inputs, manifest.objective.reward_weights, inputs.get(_VALUES))
        current = {"at": inputs["start"]}
        outputs[REFINER_GRAPH] = run.run_graph(REFINER_GRAPH, inputs | generated | fixed | current)
    return {
        f"{graph}.{name}": (value, graphs.batch_axes[graph][name])
        for graph, values in outputs.items()
        for name, value in values.items()
    }


def _session_counts(inputs: _Arrays) -> NDArray[np.intp]:
    """(B,) number of valid sessions, which come before padding."""
    counts: NDArray[np.intp] = inputs[_HISTORY[1]].any(axis=2).sum(axis=1)
    return counts


def _with_sessions(inputs: _Arrays, count: int) -> _Arrays:
    """The inputs with only the first `count` sessions."""
    return inputs | {name: inputs[name][:, :count] for name in _HISTORY}


def _compare(artifact: Artifact, part: _Arrays) -> tuple[int, int]:
    """Number of rows with equal lists, and with an equal choice."""
    manifest, run = artifact.manifest, artifact.graphs.bind()
    inputs = {k.removeprefix("in_"): v for k, v in part.items() if k.startswith("in_")}
    slots = inputs["slot_valid"]
    lists = run.generate(inputs, rules=False)
    golden = part["lists"][:, : lists.shape[1]]  # a refined list follows the generated ones
    equal = np.where(slots[:, None, :], lists == golden, True).all(axis=(1, 2))
    # Probabilities and choice are compared for the golden lists, so that one flipped tie in the
    # generator counts once.
    compared = np.concatenate([part["lists"], inputs["start"][:, None, :]], axis=1)
    p_click, p_conversion = run.evaluate(inputs | {"lists": compared.astype(np.int32)})
    _require_close(manifest, "p_click", p_click, part["p_click"], slots)
    if p_conversion is not None:
        _require_close(manifest, "p_conversion", p_conversion, part["p_conversion"], slots)
    rewards = compute_rewards(
        p_click, p_conversion, _values(inputs, compared), slots, manifest.objective.reward_weights
    )
    chosen = select_lists(rewards, manifest.risk_aversion, manifest.min_relative_gain)
    if manifest.refine_rounds:
        generated = np.delete(rewards, -2, axis=-1)  # refinement starts from one of these
        index = select_lists(generated, manifest.risk_aversion)
        start = np.delete(compared, -2, axis=1)[np.arange(len(index)), index]
        refined = _refined(manifest, run, inputs, start.astype(np.int32))
        equal &= np.where(slots, refined == part["lists"][:, -1], True).all(axis=1)
    return int(equal.sum()), int((chosen == part["chosen"]).sum())


def _refined(manifest: Manifest, run: OrtRun, inputs: _Arrays, start: NDArray[Any]) -> NDArray[Any]:
    """(B, M) lists after hill climbing from `at`, under the artifact's objective."""
    weights = manifest.objective.reward_weights
    arrays = inputs | refiner_fixed_inputs(inputs, weights, inputs.get(_VALUES))
    return iterate_local_search(
        lambda current: run.refine(arrays | {"at": current}, rules=False),
        start,
        manifest.refine_rounds,
    )


def _values(inputs: _Arrays, lists: NDArray[Any]) -> NDArray[Any] | None:
    """(B, L, M) value of each slot's item; None for a golden batch without values."""
    if _VALUES not in inputs:
        return None
    return np.take_along_axis(inputs[_VALUES][:, None, :], lists, axis=2)


def _require_close(
    manifest: Manifest, name: str, actual: NDArray[Any], golden: NDArray[Any], slots: NDArray[Any]
) -> None:
    """Raise ValueError unless valid slots differ by at most the manifest's tolerance."""
    if actual.shape != golden.shape:
        raise ValueError(f"{name} has shape {actual.shape}, {golden.shape} expected")
    valid = np.broadcast_to(slots[None, :, None, :], actual.shape)
    largest = float(np.abs(actual - golden)[valid].max(initial=0.0))
    limit = manifest.tolerance.probability
    if not largest <= limit:  # NaN fails too
        raise ValueError(f"{name} is {largest:.2g} from the golden answer, at most {limit:.2g}")


def _read_golden(artifact: Artifact) -> _Arrays:
    try:
        with np.load(artifact.folder / GOLDEN_BATCH_FILE, allow_pickle=False) as file:
            golden = {name: file[name] for name in file.files}
        golden["chosen"], golden["lists"], golden["p_click"]  # KeyError when one is missing
    except (OSError, KeyError, ValueError) as error:
        raise ManifestError(
            artifact=str(artifact.folder), reason=f"{GOLDEN_BATCH_FILE} cannot be read: {error}"
        ) from error
    return golden


def _rows(key: str, value: NDArray[Any], rows: slice) -> NDArray[Any]:
    """Rows of one golden array; evaluator outputs have the members first."""
    return value[:, rows] if key.startswith("p_") else value[rows]
