"""The nets as graphs: flat named tensors in, flat named tensors out (docs/reference/artifact.md).

Names, types and dynamic axes are declared here, once; the manifest repeats them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.contract.artifact.manifest import (
    EVALUATOR_GRAPH,
    GENERATOR_GRAPH,
    GENERATOR_RULES_GRAPH,
    REFINER_GRAPH,
    REFINER_RULES_GRAPH,
)
from model.contract.scoring.local_search import REWARD_WEIGHT_INPUTS
from model.nets.blocks.layers import gather_lists
from model.nets.evaluators.abstract_evaluator import EncodedRequest, Evaluator
from model.nets.evaluators.nlgr_evaluator import NlgrEvaluator
from model.nets.evaluators.pair_evaluator import PairEvaluator, encode_pairs_for_export
from model.nets.generators.abstract_generator import Generator, GeneratorState
from model.nets.generators.edit_inputs import EditInputs
from model.nets.generators.list_editing import edit_lists
from model.nets.generators.nlgr_generator import NlgrGenerator
from model.nets.generators.nlgr_joint_encoder import NlgrJointEncoder
from model.nets.local_search.best_neighbor_step import HillClimbState, hill_climb_step
from model.nets.local_search.neighbor_rewards import RewardWeightTensors
from model.nets.request_tensors import RequestTensors
from model.nets.rule_counts import RuleTensors

TENSOR_AXES: dict[str, tuple[str, ...]] = {
    "candidates": ("B", "N", "Fc"),
    "cand_valid": ("B", "N"),
    "slot_valid": ("B", "M"),
    "user": ("B", "Fu"),
    "sessions": ("B", "H", "M", "Fs"),
    "sess_valid": ("B", "H", "M"),
    "start": ("B", "M"),
    "editable": ("B", "M"),
    "noise_slot": ("B", "K", "T", "M"),
    "noise_item": ("B", "K", "T", "N"),
    "rule_member": ("B", "R", "N"),
    "rule_slots": ("B", "R", "M"),
    "rule_min": ("B", "R"),
    "rule_max": ("B", "R"),
    "lists": ("B", "L", "M"),
    "known": ("E", "B", "N", "Z"),
    "context": ("E", "B", "1", "1", "C"),
    "at": ("B", "M"),
    "movable": ("B", "N"),
    "slot_weight": ("B", "M"),
    "click_worth": ("B", "1"),
    "conversion_worth": ("B", "N"),
}
DYNAMIC_AXES = frozenset("BNKRLH")
REQUEST_INPUTS = ("candidates", "cand_valid", "slot_valid", "user", "sessions", "sess_valid")
EDIT_INPUTS = ("start", "editable", "noise_slot", "noise_item")
RELEVANCE_INPUTS = (
    "click_worth",
    "conversion_worth",
)  # of nets whose lists start in relevance order
ENCODING_TENSORS = (
    "known",
    "context",
)  # the evaluator's encoding of the request (`EncodedRequest`)
REFINER_INPUTS = ("slot_valid", "editable", "movable", *REWARD_WEIGHT_INPUTS)
RULE_INPUTS = ("rule_member", "rule_slots", "rule_min", "rule_max")


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """One graph: the module that computes it, and the names of its inputs and outputs."""

    name: str
    module: nn.Module
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]


class GeneratorGraph(nn.Module):
    """Lists (B, K, M) int32 from a request, a start list and noise.

    Also returns the evaluator's encoding of the request, so that it is computed once: a guided
    generator reads it, and it is an input of the evaluator's graph.
    """

    def __init__(self, net: Generator, evaluator: Evaluator, *, stop_on_no_change: bool) -> None:
        super().__init__()
        self.net, self.evaluator, self.stop_on_no_change = net, evaluator, stop_on_no_change
        self.joint: NlgrJointEncoder | None = None
        if isinstance(net, NlgrGenerator) and isinstance(evaluator, NlgrEvaluator):
            self.joint = NlgrJointEncoder(evaluator, net)

    def forward(  # noqa: PLR0913 one argument a graph input
        self,
        candidates: Tensor,
        cand_valid: Tensor,
        slot_valid: Tensor,
        user: Tensor,
        sessions: Tensor,
        sess_valid: Tensor,
        start: Tensor,
        editable: Tensor,
        noise_slot: Tensor,
        noise_item: Tensor,
        click_worth: Tensor | None = None,
        conversion_worth: Tensor | None = None,
        rule_member: Tensor | None = None,
        rule_slots: Tensor | None = None,
        rule_min: Tensor | None = None,
        rule_max: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See `TENSOR_AXES` for shapes."""
        request = RequestTensors(candidates, cand_valid, slot_valid, user, sessions, sess_valid)
        known, state = self._encode(request)
        order = None
        if click_worth is not None and conversion_worth is not None:
            order = self.net.relevance_scores(known, click_worth, conversion_worth)
        begin = EditInputs(start.long(), editable, noise_slot, noise_item, order)
        rules = _rules(rule_member, rule_slots, rule_min, rule_max)
        out = edit_lists(
            self.net, state, request, begin, rules, stop_on_no_change=self.stop_on_no_change
        )
        return out.to(torch.int32), known.candidates, known.context

    def _encode(self, request: RequestTensors) -> tuple[EncodedRequest, GeneratorState]:
        """Encodings of both nets; two published nets share one lookup."""
        if isinstance(self.evaluator, PairEvaluator):
            known = encode_pairs_for_export(self.evaluator, request)
            state = self.net.encode(request, known)
            context = known.context.expand(-1, request.user.shape[0], -1, -1, -1)
            return known._replace(context=context), state
        if self.joint is None:
            known = self.evaluator.encode(request)
            return known, self.net.encode(request, known)
        assert isinstance(self.net, NlgrGenerator)
        assert isinstance(self.evaluator, NlgrEvaluator)
        x, user = self.joint(request)
        known = self.evaluator.encode_embedded(x[:-1], user[:-1])
        return known, self.net.encode_embedded(request, x[-1], user[-1])


class EvaluatorGraph(nn.Module):
    """p_click and p_conversion (E, B, L, M) of lists, from outputs of the generator's graph."""

    def __init__(self, net: Evaluator) -> None:
        super().__init__()
        self.net = net

    def forward(
        self, slot_valid: Tensor, known: Tensor, context: Tensor, lists: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `TENSOR_AXES` for shapes."""
        encoded = EncodedRequest(known, context)
        if isinstance(self.net, NlgrEvaluator):
            return self.net.score_for_export(encoded, lists, slot_valid)
        return self.net.score(encoded, gather_lists(known, lists), slot_valid)


class RefinerGraph(nn.Module):
    """Lists (B, M) int32 after one step, from lists and outputs of the generator's graph."""

    def __init__(self, net: PairEvaluator) -> None:
        super().__init__()
        self.net = net

    def forward(  # noqa: PLR0913 one argument a graph input
        self,
        known: Tensor,
        at: Tensor,
        slot_valid: Tensor,
        editable: Tensor,
        movable: Tensor,
        slot_weight: Tensor,
        click_worth: Tensor,
        conversion_worth: Tensor,
        rule_member: Tensor | None = None,
        rule_slots: Tensor | None = None,
        rule_min: Tensor | None = None,
        rule_max: Tensor | None = None,
    ) -> Tensor:
        """See `TENSOR_AXES` for shapes."""
        stand = HillClimbState(at.long(), slot_valid, editable, movable)
        counts = RewardWeightTensors(slot_weight, click_worth, conversion_worth)
        rules = _rules(rule_member, rule_slots, rule_min, rule_max)
        return hill_climb_step(self.net, known, stand, counts, rules).to(torch.int32)


def _rules(
    member: Tensor | None, slots: Tensor | None, minimum: Tensor | None, maximum: Tensor | None
) -> RuleTensors | None:
    """The four rule inputs, or None when all are absent."""
    if member is None or slots is None or minimum is None or maximum is None:
        return None
    return RuleTensors(member, slots, minimum, maximum)


def build_graph_specs(
    generator: Generator, evaluator: Evaluator, *, stop_on_no_change: bool, with_refiner: bool
) -> tuple[GraphSpec, ...]:
    """The graphs of an artifact, with and without rules, because rules cost time.

    refines: whether lists are refined, which takes two more graphs.
    """
    editing = GeneratorGraph(generator, evaluator, stop_on_no_change=stop_on_no_change)
    judging = EvaluatorGraph(evaluator)
    made = ("lists", *ENCODING_TENSORS)
    begun: tuple[str, ...] = REQUEST_INPUTS + EDIT_INPUTS
    if generator.starts_from_relevance_order:
        begun += RELEVANCE_INPUTS
    specs = (
        GraphSpec(GENERATOR_GRAPH, editing, begun, made),
        GraphSpec(GENERATOR_RULES_GRAPH, editing, begun + RULE_INPUTS, made),
        GraphSpec(
            EVALUATOR_GRAPH,
            judging,
            ("slot_valid", *ENCODING_TENSORS, "lists"),
            ("p_click", "p_conversion"),
        ),
    )
    if not with_refiner:
        return specs
    assert isinstance(evaluator, PairEvaluator)
    refining = RefinerGraph(evaluator)
    taken = (ENCODING_TENSORS[0], "at", *REFINER_INPUTS)
    return (
        *specs,
        GraphSpec(REFINER_GRAPH, refining, taken, ("stepped",)),
        GraphSpec(REFINER_RULES_GRAPH, refining, taken + RULE_INPUTS, ("stepped",)),
    )
