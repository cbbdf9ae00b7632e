"""What a log tells the evaluator beside the answers to lists, as terms of its loss.

Upstream has looked at every candidate of every request, while users answered the few that were
shown: whom it offers what, and in which order, teaches tastes (METHOD section 8). The lessons are
for training alone; what they need to learn with is no part of a checkpoint.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.config import EvaluatorTraining
from model.losses import offer_loss, order_loss
from model.nets.evaluator import Encoded, Evaluator
from model.nets.inputs import RequestTensors


class Pupil(nn.Module):
    """An evaluator under training, and the scale on which each lesson reads its affinities.

    A net without the part that a lesson is about does not get it.
    """

    def __init__(self, evaluator: Evaluator, training: EvaluatorTraining) -> None:
        super().__init__()
        self.evaluator = evaluator
        self.order, self.offer = training.upstream_order, training.upstream_offer
        self.even = training.even_slots
        self.order_scale = nn.Parameter(torch.ones(evaluator.members, 1, 1))
        self.offer_scale = nn.Parameter(torch.ones(evaluator.members, 1, 1))

    def scales(self) -> list[nn.Parameter]:
        """What the lessons alone need."""
        return [self.order_scale, self.offer_scale]

    def forward(self, request: RequestTensors, lists: Tensor) -> tuple[Tensor, Tensor]:
        """What the evaluator predicts, for those who measure it."""
        predicted: tuple[Tensor, Tensor] = self.evaluator(request, lists)
        return predicted

    def upstream(self, request: RequestTensors) -> Tensor:
        """Scalar loss of both lessons of upstream on whole requests of a batch."""
        if not self.evaluator.keeps_affinity or not (self.order or self.offer):
            return self.order_scale.new_zeros(())
        valid, own = request.cand_valid, self.evaluator.affinity(request)
        loss = own.new_zeros(())
        if self.order:
            loss = loss + self.order * order_loss(own * self.order_scale, valid)
        if self.offer and len(valid) > 1:
            # the user of each request with the candidates of the next one
            users = request._replace(user=request.user.roll(1, 0))
            others = self.evaluator.affinity(users).roll(-1, 1)
            loss = loss + self.offer * offer_loss(
                own * self.offer_scale, others * self.offer_scale, (valid, valid.roll(-1, 0))
            )
        return loss

    def evenness(self, encoded: Encoded, shown: Tensor, slot_valid: Tensor) -> Tensor:
        """Scalar: square of what the lists of a batch add to each slot on average.

        What is always added to a slot, whatever it shows, is how much the slot is looked at: an
        item moved there would be promised as much. So examination has to learn it.
        """
        if not self.evaluator.adds_lists or not self.even:
            return self.order_scale.new_zeros(())
        added = self.evaluator.added(encoded, shown, slot_valid)  # (E, B, L, M)
        weight = slot_valid.unsqueeze(1).to(added.dtype)
        mean = (added * weight).sum(dim=(1, 2)) / weight.sum(dim=(0, 1)).clamp(min=1.0)
        return self.even * mean.square().sum()
