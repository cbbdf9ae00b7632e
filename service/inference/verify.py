"""An artifact proves itself before it serves: its golden batch must come out as PyTorch gave it."""

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
from service.inference.artifact import Artifact
from service.inference.graphs import OrtRun

GOLDEN_ROWS = 256  # bounds the time of a start, whatever the file holds
BATCH = 4  # 16 take as long, and the runtime keeps what its largest run needed: 67 MB more
SAME_SHARE = 0.99  # rows whose lists and choice must be the same: ties in float may flip an argmax
_HISTORY = (SESSIONS_INPUT, "sess_valid")  # (B, H, ..)
_VALUES = "values"  # (B, N), beside the graphs' inputs; only where the objective uses a value

Rows = dict[str, NDArray[Any]]


def verify(artifact: Artifact, rows: int = GOLDEN_ROWS) -> int:
    """Run the golden batch; raises ManifestError, else returns how many rows were compared."""
    golden = _read_golden(artifact)
    name = str(artifact.folder)
    total = min(rows, len(golden["chosen"]))
    if total == 0:
        raise ManifestError(artifact=name, reason=f"{GOLDEN_BATCH_FILE} is empty")
    same_lists = same_choice = 0
    for at in range(0, total, BATCH):
        part = {
            key: _rows(key, value, slice(at, min(at + BATCH, total)))
            for key, value in golden.items()
        }
        try:
            lists, chosen = _compare(artifact, part)
        except (InferenceFailed, KeyError, ValueError) as error:
            raise ManifestError(artifact=name, reason=f"golden batch: {error}") from error
        same_lists += lists
        same_choice += chosen
    for what, same in (("lists", same_lists), ("choice", same_choice)):
        if same < SAME_SHARE * total:
            raise ManifestError(
                artifact=name,
                reason=f"golden batch: {what} differ in {total - same} of {total} rows",
            )
    return total


def same_together(artifact: Artifact) -> bool:
    """Whether requests get the same bits from a run they share as from runs of their own.

    That hangs on how graphs were exported and on what the runtime does on this processor: who finds
    it otherwise lets no requests share runs, or an answer would hang on who else asked.
    """
    golden = _read_golden(artifact)
    inputs = {k.removeprefix("in_"): v for k, v in golden.items() if k.startswith("in_")}
    held = _sessions_held(inputs)
    rows = held.argsort(kind="stable")[np.linspace(0, len(held) - 1, BATCH).astype(int)]
    inputs, held = {k: v[rows] for k, v in inputs.items()}, held[rows]
    each = [{k: v[row : row + 1] for k, v in inputs.items()} for row in range(BATCH)]
    lengths, vary = artifact.manifest.lengths, artifact.manifest.has_dynamic_sessions
    counts = [lengths.padded_session_count(count, dynamic=vary) for count in held.tolist()]
    each = [_with_sessions(one, count) for one, count in zip(each, counts, strict=True)]
    together, alone = _asked(artifact, inputs), [_asked(artifact, one) for one in each]
    return all(
        np.array_equal(value, np.concatenate([one[name][0] for one in alone], axis))
        for name, (value, axis) in together.items()
    )


def _asked(artifact: Artifact, inputs: Rows) -> dict[str, tuple[NDArray[Any], int]]:
    """All that the graphs say of these requests, with the axis that has one entry a request."""
    manifest, graphs, run = artifact.manifest, artifact.graphs, artifact.graphs.bind()
    told = run.outputs(GENERATOR_GRAPH, inputs)
    lists = np.concatenate([told["lists"], inputs["start"][:, None]], axis=1)
    said = {
        GENERATOR_GRAPH: told,
        EVALUATOR_GRAPH: run.outputs(EVALUATOR_GRAPH, inputs | told | {"lists": lists}),
    }
    if manifest.refine_rounds:
        given = refiner_fixed_inputs(inputs, manifest.objective.reward_weights, inputs.get(_VALUES))
        at = {"at": inputs["start"]}
        said[REFINER_GRAPH] = run.outputs(REFINER_GRAPH, inputs | told | given | at)
    return {
        f"{graph}.{name}": (value, graphs.batch_axes[graph][name])
        for graph, values in said.items()
        for name, value in values.items()
    }


def _sessions_held(inputs: Rows) -> NDArray[np.intp]:
    """(B,) how many sessions each request has; those come first."""
    held: NDArray[np.intp] = inputs[_HISTORY[1]].any(axis=2).sum(axis=1)
    return held


def _with_sessions(inputs: Rows, count: int) -> Rows:
    """One request as it comes: with no more sessions than that."""
    return inputs | {name: inputs[name][:, :count] for name in _HISTORY}


def _compare(artifact: Artifact, part: Rows) -> tuple[int, int]:
    """Rows of this part with the same lists, and with the same choice."""
    manifest, run = artifact.manifest, artifact.graphs.bind()
    inputs = {k.removeprefix("in_"): v for k, v in part.items() if k.startswith("in_")}
    slots = inputs["slot_valid"]
    lists = run.generate(inputs, rules=False)
    golden = part["lists"][:, : lists.shape[1]]  # a refined one stands behind those generated
    same = np.where(slots[:, None, :], lists == golden, True).all(axis=(1, 2))
    # Probabilities and choice are compared for PyTorch's own lists, so that one flipped tie in the
    # generator counts once.
    compared = np.concatenate([part["lists"], inputs["start"][:, None, :]], axis=1)
    p_click, p_conversion = run.evaluate(inputs | {"lists": compared.astype(np.int32)})
    _require_close(manifest, "p_click", p_click, part["p_click"], slots)
    if p_conversion is not None:
        _require_close(manifest, "p_conversion", p_conversion, part["p_conversion"], slots)
    rewards = compute_rewards(
        p_click, p_conversion, _values(inputs, compared), slots, manifest.objective.reward_weights
    )
    chosen = select_lists(rewards, manifest.risk_aversion)
    if manifest.refine_rounds:
        generated = np.delete(rewards, -2, axis=-1)  # what the ascent starts from is one of these
        place = select_lists(generated, manifest.risk_aversion)
        begun = np.delete(compared, -2, axis=1)[np.arange(len(place)), place]
        refined = _refined(manifest, run, inputs, begun.astype(np.int32))
        same &= np.where(slots, refined == part["lists"][:, -1], True).all(axis=1)
    return int(same.sum()), int((chosen == part["chosen"]).sum())


def _refined(manifest: Manifest, run: OrtRun, inputs: Rows, start: NDArray[Any]) -> NDArray[Any]:
    """Lists (B, M) after their ascent from the start, under the artifact's own objective."""
    own = manifest.objective.reward_weights
    given = inputs | refiner_fixed_inputs(inputs, own, inputs.get(_VALUES))
    return iterate_local_search(
        lambda at: run.refine(given | {"at": at}, rules=False), start, manifest.refine_rounds
    )


def _values(inputs: Rows, lists: NDArray[Any]) -> NDArray[Any] | None:
    """(B, L, M) value of each slot's item, where the golden batch carries values."""
    if _VALUES not in inputs:
        return None
    return np.take_along_axis(inputs[_VALUES][:, None, :], lists, axis=2)


def _require_close(
    manifest: Manifest, name: str, found: NDArray[Any], golden: NDArray[Any], slots: NDArray[Any]
) -> None:
    if found.shape != golden.shape:
        raise ValueError(f"{name} has shape {found.shape}, {golden.shape} expected")
    valid = np.broadcast_to(slots[None, :, None, :], found.shape)
    worst = float(np.abs(found - golden)[valid].max(initial=0.0))
    limit = manifest.tolerance.probability
    if not worst <= limit:  # NaN is worse than any limit
        raise ValueError(f"{name} is {worst:.2g} from the golden answer, at most {limit:.2g}")


def _read_golden(artifact: Artifact) -> Rows:
    try:
        with np.load(artifact.folder / GOLDEN_BATCH_FILE, allow_pickle=False) as file:
            held = {name: file[name] for name in file.files}
        held["chosen"], held["lists"], held["p_click"]  # KeyError when one is missing
    except (OSError, KeyError, ValueError) as error:
        raise ManifestError(
            artifact=str(artifact.folder), reason=f"{GOLDEN_BATCH_FILE} cannot be read: {error}"
        ) from error
    return held


def _rows(key: str, value: NDArray[Any], rows: slice) -> NDArray[Any]:
    """Rows of one array; answers of the evaluator have the members first."""
    return value[:, rows] if key.startswith("p_") else value[rows]
