"""What a log tells the evaluator beside the answers to lists, as terms of its loss.

Upstream has looked at every candidate of every request, while users answered the few that were
shown: whom it offers what, and in which order, teaches tastes (METHOD section 8). The lessons are
for training alone; what they need to learn with is no part of a checkpoint.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.config.pipeline_config import EvaluatorTrainingConfig
from model.nets.evaluators.abstract_evaluator import EncodedRequest, Evaluator
from model.nets.request_tensors import RequestTensors
from model.training.losses import listmle_loss, sampled_softmax_loss


class EvaluatorWithAuxiliaryLosses(nn.Module):
    """An evaluator under training, and the scale on which each lesson reads its affinities.

    A net without the part that a lesson is about does not get it.
    """

    def __init__(self, evaluator: Evaluator, training: EvaluatorTrainingConfig) -> None:
        super().__init__()
        self.evaluator = evaluator
        self.listmle_weight, self.sampled_softmax_weight = (
            training.listmle_weight,
            training.sampled_softmax_weight,
        )
        self.slot_bias_weight = training.slot_bias_weight
        self.listmle_scale = nn.Parameter(torch.ones(evaluator.members, 1, 1))
        self.sampled_softmax_scale = nn.Parameter(torch.ones(evaluator.members, 1, 1))

    def auxiliary_params(self) -> list[nn.Parameter]:
        """What the lessons alone need."""
        return [self.listmle_scale, self.sampled_softmax_scale]

    def forward(self, request: RequestTensors, lists: Tensor) -> tuple[Tensor, Tensor]:
        """What the evaluator predicts, for those who measure it."""
        predicted: tuple[Tensor, Tensor] = self.evaluator(request, lists)
        return predicted

    def candidate_loss(self, request: RequestTensors) -> Tensor:
        """Scalar loss of both lessons of upstream on whole requests of a batch."""
        if not self.evaluator.has_user_item_affinity or not (
            self.listmle_weight or self.sampled_softmax_weight
        ):
            return self.listmle_scale.new_zeros(())
        valid, own = request.cand_valid, self.evaluator.user_item_affinity(request)
        loss = own.new_zeros(())
        if self.listmle_weight:
            loss = loss + self.listmle_weight * listmle_loss(own * self.listmle_scale, valid)
        if self.sampled_softmax_weight and len(valid) > 1:
            # the user of each request with the candidates of the next one
            users = request._replace(user=request.user.roll(1, 0))
            others = self.evaluator.user_item_affinity(users).roll(-1, 1)
            loss = loss + self.sampled_softmax_weight * sampled_softmax_loss(
                own * self.sampled_softmax_scale,
                others * self.sampled_softmax_scale,
                (valid, valid.roll(-1, 0)),
            )
        return loss

    def slot_bias_loss(
        self, encoded: EncodedRequest, slot_encodings: Tensor, slot_valid: Tensor
    ) -> Tensor:
        """Scalar: square of what the lists of a batch add to each slot on average.

        What is always added to a slot, whatever it shows, is how much the slot is looked at: an
        item moved there would be promised as much. So examination has to learn it.
        """
        if not self.evaluator.has_list_effects or not self.slot_bias_weight:
            return self.listmle_scale.new_zeros(())
        added = self.evaluator.list_effects(encoded, slot_encodings, slot_valid)  # (E, B, L, M)
        weight = slot_valid.unsqueeze(1).to(added.dtype)
        mean = (added * weight).sum(dim=(1, 2)) / weight.sum(dim=(0, 1)).clamp(min=1.0)
        return self.slot_bias_weight * mean.square().sum()
