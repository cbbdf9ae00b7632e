"""Compares ONNX graphs with PyTorch: probabilities within a tolerance, and equal lists."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from export.golden import (
    CANDIDATE_VALUES,
    NamedArrays,
    SelectionConfig,
    best_scored_lists,
    golden_refiner_inputs,
)
from export.graph_modules import TENSOR_AXES
from model.contract.artifact.manifest import (
    EVALUATOR_GRAPH,
    GENERATOR_GRAPH,
    GENERATOR_RULES_GRAPH,
    REFINER_GRAPH,
    REFINER_RULES_GRAPH,
    GraphEntry,
)
from model.contract.scoring.local_search import iterate_local_search
from model.contract.scoring.objective import RewardWeights

PROBABILITY_TOLERANCE = 1e-4  # float32 sums in another order; measured: below 1e-6
MIN_EQUAL_LISTS = 0.99  # share of proposed lists: a float tie may be resolved differently


class ParityError(Exception):
    """ONNX and PyTorch differ; names the place and the size of the difference."""


@dataclass(frozen=True, slots=True)
class ParityReport:
    """Differences of the graphs on the golden batch.

    max_probability_error: largest difference of a probability, on lists that both propose.
    equal_list_share: share of proposed lists that are equal.
    """

    max_probability_error: float
    equal_list_share: float


class GraphRunner:
    """The graphs of a folder in ONNX Runtime, one thread, as the service runs them."""

    def __init__(
        self, folder: Path, graphs: dict[str, GraphEntry], selection: SelectionConfig | None = None
    ) -> None:
        self.selection = selection or SelectionConfig(
            objective=RewardWeights()
        )  # of what is proposed alone
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.sessions = {
            name: ort.InferenceSession(
                str(folder / graph.file),
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=["SkipLayerNormFusion"],
            )
            for name, graph in graphs.items()
        }

    def run_graph(self, graph: str, inputs: NamedArrays) -> list[np.ndarray]:
        """Outputs of one graph; it selects its inputs by name."""
        session = self.sessions[graph]
        names = [value.name for value in session.get_inputs()]
        return list(session.run(None, {name: inputs[name] for name in names}))

    def predict(self, inputs: NamedArrays) -> NamedArrays:
        """Outputs with the keys of `golden.pytorch_outputs`."""
        lists, told = run_generator(self.sessions[GENERATOR_GRAPH], inputs)
        made = self._score_lists(inputs | told, lists)
        if not self.selection.max_refine_steps:
            return made
        refined = self.refine_lists(inputs | told, best_scored_lists(inputs, made, self.selection))
        return self._score_lists(inputs | told, np.concatenate([lists, refined[:, None]], axis=1))

    def refine_lists(
        self, inputs: NamedArrays, start: np.ndarray, graph: str = REFINER_GRAPH
    ) -> np.ndarray:
        """Lists (B, M) after refinement; inputs hold the outputs of the generator's graph."""
        given = inputs | golden_refiner_inputs(inputs, self.selection.objective)
        return iterate_local_search(
            lambda at: self.run_graph(graph, given | {"at": at})[0],
            start.astype(np.int32),
            self.selection.max_refine_steps,
        )

    def _score_lists(self, inputs: NamedArrays, lists: np.ndarray) -> NamedArrays:
        judged = np.concatenate([lists, inputs["start"][:, None]], axis=1)
        p_click, p_conversion = self.run_graph(EVALUATOR_GRAPH, inputs | {"lists": judged})
        return {"lists": lists, "p_click": p_click, "p_conversion": p_conversion}


def run_generator(
    generator: ort.InferenceSession, inputs: NamedArrays
) -> tuple[np.ndarray, NamedArrays]:
    """Lists (B, K, M), and the other outputs by name: inputs of the evaluator's graph."""
    names = [value.name for value in generator.get_inputs()]
    made = generator.run(None, {name: inputs[name] for name in names})
    told = dict(zip([value.name for value in generator.get_outputs()], made, strict=True))
    return told.pop("lists"), told


def compare_outputs(expected: NamedArrays, actual: NamedArrays) -> ParityReport:
    """Compare outputs for the same requests."""
    same = (expected["lists"] == actual["lists"]).all(axis=-1)  # (B, K)
    both = np.concatenate([same, np.ones((len(same), 1), dtype=bool)], axis=1)  # the input list
    off = max(
        float(np.abs(expected[name] - actual[name])[:, both].max(initial=0.0))
        for name in ("p_click", "p_conversion")
    )
    return ParityReport(max_probability_error=off, equal_list_share=float(same.mean()))


def require_parity(
    runner: GraphRunner, inputs: NamedArrays, expected: NamedArrays, max_candidates: int
) -> ParityReport:
    """Compare the graphs with PyTorch at batch 1, the whole batch, and padded to the maximum.

    Raises:
        ParityError: probabilities off by more than PROBABILITY_TOLERANCE, or fewer than
            MIN_EQUAL_LISTS of the lists equal, or a rule without effect that changes a list.
    """
    one = [
        runner.predict(slice_requests(inputs, slice(at, at + 1)))
        for at in range(min(32, batch_size(inputs)))
    ]
    parities = {
        "batch 1": compare_outputs(slice_outputs(expected, len(one)), concat_outputs(one)),
        "whole batch": compare_outputs(expected, runner.predict(inputs)),
        f"{max_candidates} candidates": compare_outputs(
            slice_outputs(expected, 8),
            runner.predict(pad_candidates(slice_requests(inputs, slice(0, 8)), max_candidates)),
        ),
        "rules without effect": compare_outputs(
            expected,
            {**expected, "lists": lists_under_neutral_rule(runner, inputs, expected)},
        ),
    }
    for where, parity in parities.items():
        if (
            parity.max_probability_error > PROBABILITY_TOLERANCE
            or parity.equal_list_share < MIN_EQUAL_LISTS
        ):
            raise ParityError(
                f"{where}: probabilities off by {parity.max_probability_error:.2e} (at most "
                f"{PROBABILITY_TOLERANCE:.0e}), {parity.equal_list_share:.1%} of lists equal "
                f"(at least {MIN_EQUAL_LISTS:.0%})"
            )
    return parities["whole batch"]


def lists_under_neutral_rule(
    runner: GraphRunner, inputs: NamedArrays, expected: NamedArrays
) -> np.ndarray:
    """Lists (B, L, M) of the rule graphs under a rule that every list obeys.

    Refinement starts from PyTorch's list, so that one different list counts once.
    """
    b, n = inputs["cand_valid"].shape
    m = inputs["slot_valid"].shape[1]
    rule = {
        "rule_member": np.ones((b, 1, n), dtype=bool),
        "rule_slots": np.ones((b, 1, m), dtype=bool),
        "rule_min": np.zeros((b, 1), dtype=np.float32),
        "rule_max": np.full((b, 1), m, dtype=np.float32),
    }
    lists, told = run_generator(runner.sessions[GENERATOR_RULES_GRAPH], {**inputs, **rule})
    if not runner.selection.max_refine_steps:
        return lists
    generated = {"lists": expected["lists"][:, :-1]}  # without the refined one, the last
    for name in ("p_click", "p_conversion"):
        generated[name] = np.delete(expected[name], -2, axis=2)
    begun = best_scored_lists(inputs, generated, runner.selection)
    refined = runner.refine_lists(inputs | rule | told, begun, REFINER_RULES_GRAPH)
    return np.concatenate([lists, refined[:, None]], axis=1)


def batch_size(inputs: NamedArrays) -> int:
    """Number of requests in these inputs."""
    return len(inputs["candidates"])


def slice_requests(inputs: NamedArrays, selected: slice) -> NamedArrays:
    """Inputs of some of the requests."""
    return {name: array[selected] for name, array in inputs.items()}


def slice_outputs(outputs: NamedArrays, count: int) -> NamedArrays:
    """Outputs of the first requests; predictions have the members' axis first."""
    return {
        name: array[:count] if name == "lists" else array[:, :count]
        for name, array in outputs.items()
        if name in {"lists", "p_click", "p_conversion"}
    }


def concat_outputs(outputs: list[NamedArrays]) -> NamedArrays:
    """Outputs of single requests as one batch."""
    return {
        name: np.concatenate([a[name] for a in outputs], axis=0 if name == "lists" else 1)
        for name in outputs[0]
    }


def candidate_axes(inputs: NamedArrays) -> dict[str, int]:
    """Candidate axis of each input by name; all are padded together."""
    shapes = TENSOR_AXES | {CANDIDATE_VALUES: ("B", "N")}
    return {name: shapes[name].index("N") for name in inputs if "N" in shapes.get(name, ())}


def pad_candidates(inputs: NamedArrays, candidates: int) -> NamedArrays:
    """The same requests with padding up to this many candidates."""
    more = candidates - inputs["cand_valid"].shape[1]
    if more <= 0:
        return inputs
    axis = candidate_axes(inputs)
    return {
        name: np.concatenate(
            [array, np.zeros((*array.shape[:at], more, *array.shape[at + 1 :]), array.dtype)], at
        )
        if (at := axis.get(name)) is not None
        else array
        for name, array in inputs.items()
    }
