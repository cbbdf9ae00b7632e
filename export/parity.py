"""Whether the ONNX graphs answer as PyTorch does: probabilities close, and the same lists."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from export.golden import VALUES, Arrays, Choosing, chosen_list, refining
from export.graph import AXES
from model.contract.choice import Objective
from model.contract.manifest import (
    EVALUATOR,
    GENERATOR,
    GENERATOR_RULES,
    REFINER,
    REFINER_RULES,
    Graph,
)
from model.contract.refine import ascend

PROBABILITY_TOLERANCE = 1e-4  # float32 sums in another order; seen: below 1e-6
SAME_LISTS = 0.99  # share of proposed lists: a tie in float may fall to the other side


class ParityError(Exception):
    """ONNX and PyTorch disagree; says where and by how much."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How the graphs compare on the golden batch.

    off: largest difference of a probability, on lists that both propose.
    same_lists: share of proposed lists that are equal.
    """

    off: float
    same_lists: float


class Runner:
    """The graphs of a folder in ONNX Runtime, one thread, as the service runs them."""

    def __init__(self, folder: Path, graphs: dict[str, Graph], how: Choosing | None = None) -> None:
        self.how = how or Choosing(objective=Objective())  # of what is proposed alone
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

    def run(self, graph: str, inputs: Arrays) -> list[np.ndarray]:
        """Outputs of one graph; it takes what it needs from the inputs."""
        session = self.sessions[graph]
        names = [value.name for value in session.get_inputs()]
        return list(session.run(None, {name: inputs[name] for name in names}))

    def answer(self, inputs: Arrays) -> Arrays:
        """Same keys as `golden.answer`."""
        lists, told = proposed(self.sessions[GENERATOR], inputs)
        made = self._judge(inputs | told, lists)
        if not self.how.rounds:
            return made
        refined = self.refine(inputs | told, chosen_list(inputs, made, self.how))
        return self._judge(inputs | told, np.concatenate([lists, refined[:, None]], axis=1))

    def refine(self, inputs: Arrays, start: np.ndarray, graph: str = REFINER) -> np.ndarray:
        """Lists (B, M) after their ascent; inputs hold what the generator's graph says."""
        given = inputs | refining(inputs, self.how.objective)
        return ascend(
            lambda at: self.run(graph, given | {"at": at})[0],
            start.astype(np.int32),
            self.how.rounds,
        )

    def _judge(self, inputs: Arrays, lists: np.ndarray) -> Arrays:
        judged = np.concatenate([lists, inputs["start"][:, None]], axis=1)
        p_click, p_conversion = self.run(EVALUATOR, inputs | {"lists": judged})
        return {"lists": lists, "p_click": p_click, "p_conversion": p_conversion}


def proposed(generator: ort.InferenceSession, inputs: Arrays) -> tuple[np.ndarray, Arrays]:
    """Lists (B, K, M), and by name what else the graph says: inputs of the evaluator's graph."""
    names = [value.name for value in generator.get_inputs()]
    made = generator.run(None, {name: inputs[name] for name in names})
    told = dict(zip([value.name for value in generator.get_outputs()], made, strict=True))
    return told.pop("lists"), told


def compare(expected: Arrays, found: Arrays) -> Parity:
    """Compare answers of the same requests."""
    same = (expected["lists"] == found["lists"]).all(axis=-1)  # (B, K)
    both = np.concatenate([same, np.ones((len(same), 1), dtype=bool)], axis=1)  # the input list
    off = max(
        float(np.abs(expected[name] - found[name])[:, both].max(initial=0.0))
        for name in ("p_click", "p_conversion")
    )
    return Parity(off=off, same_lists=float(same.mean()))


def require_parity(runner: Runner, inputs: Arrays, expected: Arrays, max_candidates: int) -> Parity:
    """Hold the graphs against PyTorch at batch 1, the whole batch, and padded to the maximum.

    Raises:
        ParityError: probabilities off by more than PROBABILITY_TOLERANCE, or fewer than
            SAME_LISTS of the lists equal, or a rule without effect that changes a list.
    """
    one = [runner.answer(rows(inputs, slice(at, at + 1))) for at in range(min(32, batch(inputs)))]
    parities = {
        "batch 1": compare(rows_of_answer(expected, len(one)), joined(one)),
        "whole batch": compare(expected, runner.answer(inputs)),
        f"{max_candidates} candidates": compare(
            rows_of_answer(expected, 8),
            runner.answer(padded(rows(inputs, slice(0, 8)), max_candidates)),
        ),
        "rules without effect": compare(
            expected,
            {**expected, "lists": lists_under_a_rule_without_effect(runner, inputs, expected)},
        ),
    }
    for where, parity in parities.items():
        if parity.off > PROBABILITY_TOLERANCE or parity.same_lists < SAME_LISTS:
            raise ParityError(
                f"{where}: probabilities off by {parity.off:.2e} (at most "
                f"{PROBABILITY_TOLERANCE:.0e}), {parity.same_lists:.1%} of lists equal "
                f"(at least {SAME_LISTS:.0%})"
            )
    return parities["whole batch"]


def lists_under_a_rule_without_effect(
    runner: Runner, inputs: Arrays, expected: Arrays
) -> np.ndarray:
    """Lists (B, L, M) of the rule graphs under a rule that every list obeys.

    The ascent begins where PyTorch's does, so that one list that differs counts once.
    """
    b, n = inputs["cand_valid"].shape
    m = inputs["slot_valid"].shape[1]
    rule = {
        "rule_member": np.ones((b, 1, n), dtype=bool),
        "rule_slots": np.ones((b, 1, m), dtype=bool),
        "rule_min": np.zeros((b, 1), dtype=np.float32),
        "rule_max": np.full((b, 1), m, dtype=np.float32),
    }
    lists, told = proposed(runner.sessions[GENERATOR_RULES], {**inputs, **rule})
    if not runner.how.rounds:
        return lists
    generated = {"lists": expected["lists"][:, :-1]}  # without the refined one, the last
    for name in ("p_click", "p_conversion"):
        generated[name] = np.delete(expected[name], -2, axis=2)
    begun = chosen_list(inputs, generated, runner.how)
    refined = runner.refine(inputs | rule | told, begun, REFINER_RULES)
    return np.concatenate([lists, refined[:, None]], axis=1)


def batch(inputs: Arrays) -> int:
    """Requests in these inputs."""
    return len(inputs["candidates"])


def rows(inputs: Arrays, which: slice) -> Arrays:
    """Some requests of the inputs."""
    return {name: array[which] for name, array in inputs.items()}


def rows_of_answer(answer: Arrays, count: int) -> Arrays:
    """The answers to the first requests: predictions carry the members' axis first."""
    return {
        name: array[:count] if name == "lists" else array[:, :count]
        for name, array in answer.items()
        if name in {"lists", "p_click", "p_conversion"}
    }


def joined(answers: list[Arrays]) -> Arrays:
    """Answers to single requests as one batch."""
    return {
        name: np.concatenate([a[name] for a in answers], axis=0 if name == "lists" else 1)
        for name in answers[0]
    }


def candidate_axes(inputs: Arrays) -> dict[str, int]:
    """By name, which axis of an input is the candidates': all are padded or filled up together."""
    shapes = AXES | {VALUES: ("B", "N")}
    return {name: shapes[name].index("N") for name in inputs if "N" in shapes.get(name, ())}


def padded(inputs: Arrays, candidates: int) -> Arrays:
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
