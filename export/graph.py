"""The nets as graphs: flat named tensors in, flat named tensors out (DESIGN section 8).

Names, types and dynamic axes are declared here, once; the manifest repeats them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.contract.manifest import (
    EVALUATOR,
    GENERATOR,
    GENERATOR_RULES,
    REFINER,
    REFINER_RULES,
)
from model.contract.refine import WORTH
from model.nets.ascent import Stand, step
from model.nets.edit_start import EditStart
from model.nets.edits import edit
from model.nets.evaluator import Encoded, Evaluator
from model.nets.generator import Generator, GeneratorState
from model.nets.inputs import RequestTensors
from model.nets.joint_encoder import JointEncoder
from model.nets.layers import take_lists
from model.nets.neighbor_values import Worth
from model.nets.nlgr_evaluator import NlgrEvaluator
from model.nets.nlgr_generator import NlgrGenerator
from model.nets.pair_evaluator import PairEvaluator
from model.nets.pair_graph import encode_in_graph
from model.nets.rule_counts import Rules

AXES: dict[str, tuple[str, ...]] = {
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
DYNAMIC = frozenset("BNKRLH")
REQUEST = ("candidates", "cand_valid", "slot_valid", "user", "sessions", "sess_valid")
EDITING = ("start", "editable", "noise_slot", "noise_item")
ORDERING = ("click_worth", "conversion_worth")  # of nets whose lists begin in their own order
KNOWN = ("known", "context")  # what the evaluator has computed of the request (`Encoded`)
REFINING = ("slot_valid", "editable", "movable", *WORTH)
RULES = ("rule_member", "rule_slots", "rule_min", "rule_max")


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """One graph: the module that computes it, and the names of its inputs and outputs."""

    name: str
    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class GeneratorGraph(nn.Module):
    """Lists (B, K, M) int32 from a request, a start list and noise.

    The evaluator's encoding of the request comes with them, so nothing is computed twice: a guided
    generator reads it, and the evaluator's graph takes it from here.
    """

    def __init__(self, net: Generator, evaluator: Evaluator, *, stop_on_no_change: bool) -> None:
        super().__init__()
        self.net, self.evaluator, self.stop = net, evaluator, stop_on_no_change
        self.joint: JointEncoder | None = None
        if isinstance(net, NlgrGenerator) and isinstance(evaluator, NlgrEvaluator):
            self.joint = JointEncoder(evaluator, net)

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
        """See `AXES` for shapes."""
        request = RequestTensors(candidates, cand_valid, slot_valid, user, sessions, sess_valid)
        known, state = self._encode(request)
        order = None
        if click_worth is not None and conversion_worth is not None:
            order = self.net.order(known, click_worth, conversion_worth)
        begin = EditStart(start.long(), editable, noise_slot, noise_item, order)
        rules = _rules(rule_member, rule_slots, rule_min, rule_max)
        out = edit(self.net, state, request, begin, rules, stop=self.stop)
        return out.to(torch.int32), known.candidates, known.context

    def _encode(self, request: RequestTensors) -> tuple[Encoded, GeneratorState]:
        """What both nets know of a request; two published ones look it up together."""
        if isinstance(self.evaluator, PairEvaluator):
            known = encode_in_graph(self.evaluator, request)
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
    """p_click and p_conversion (E, B, L, M) of lists, from what the generator's graph says."""

    def __init__(self, net: Evaluator) -> None:
        super().__init__()
        self.net = net

    def forward(
        self, slot_valid: Tensor, known: Tensor, context: Tensor, lists: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `AXES` for shapes."""
        encoded = Encoded(known, context)
        if isinstance(self.net, NlgrEvaluator):
            return self.net.score_in_graph(encoded, lists, slot_valid)
        return self.net.score(encoded, take_lists(known, lists), slot_valid)


class RefinerGraph(nn.Module):
    """Lists (B, M) int32 one step on, from lists and what the generator's graph says."""

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
        """See `AXES` for shapes."""
        stand = Stand(at.long(), slot_valid, editable, movable)
        counts = Worth(slot_weight, click_worth, conversion_worth)
        rules = _rules(rule_member, rule_slots, rule_min, rule_max)
        return step(self.net, known, stand, counts, rules).to(torch.int32)


def _rules(
    member: Tensor | None, slots: Tensor | None, minimum: Tensor | None, maximum: Tensor | None
) -> Rules | None:
    """All four or none."""
    if member is None or slots is None or minimum is None or maximum is None:
        return None
    return Rules(member, slots, minimum, maximum)


def graph_specs(
    generator: Generator, evaluator: Evaluator, *, stop_on_no_change: bool, refines: bool
) -> tuple[GraphSpec, ...]:
    """The graphs of an artifact: rules cost time, so only requests with rules pay.

    refines: whether lists are refined, which takes two more.
    """
    editing = GeneratorGraph(generator, evaluator, stop_on_no_change=stop_on_no_change)
    judging = EvaluatorGraph(evaluator)
    made = ("lists", *KNOWN)
    begun: tuple[str, ...] = REQUEST + EDITING
    if generator.by_relevance:
        begun += ORDERING
    specs = (
        GraphSpec(GENERATOR, editing, begun, made),
        GraphSpec(GENERATOR_RULES, editing, begun + RULES, made),
        GraphSpec(EVALUATOR, judging, ("slot_valid", *KNOWN, "lists"), ("p_click", "p_conversion")),
    )
    if not refines:
        return specs
    assert isinstance(evaluator, PairEvaluator)
    refining = RefinerGraph(evaluator)
    taken = (KNOWN[0], "at", *REFINING)
    return (
        *specs,
        GraphSpec(REFINER, refining, taken, ("stepped",)),
        GraphSpec(REFINER_RULES, refining, taken + RULES, ("stepped",)),
    )
