"""Auxiliary losses of the evaluator: upstream order, exposure, and constant slot effects.

The first two train on all candidates of a request, which clicks on the few shown items do not
cover. Their own parameters are not part of a checkpoint. Source:
docs/explanation/method.md#auxiliary-losses and docs/explanation/method.md#slot-bias-loss.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.config.pipeline_config import EvaluatorTrainingConfig
from model.nets.evaluators.abstract_evaluator import EncodedRequest, Evaluator
from model.nets.request_tensors import RequestTensors
from model.training.losses import listmle_loss, sampled_softmax_loss


class EvaluatorWithAuxiliaryLosses(nn.Module):
    """An evaluator under training with the learned logit scale of each auxiliary loss.

    A loss is left out where its weight is 0 or the net lacks the part that it trains.
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
        """Parameters that only the auxiliary losses use."""
        return [self.listmle_scale, self.sampled_softmax_scale]

    def forward(self, request: RequestTensors, lists: Tensor) -> tuple[Tensor, Tensor]:
        """p_click and p_conversion of the evaluator, (E, B, L, M) each."""
        predicted: tuple[Tensor, Tensor] = self.evaluator(request, lists)
        return predicted

    def candidate_loss(self, request: RequestTensors) -> Tensor:
        """Weighted sum of the ListMLE and the sampled-softmax loss of a batch; a scalar."""
        if not self.evaluator.has_user_item_affinity or not (
            self.listmle_weight or self.sampled_softmax_weight
        ):
            return self.listmle_scale.new_zeros(())
        valid, own = request.cand_valid, self.evaluator.user_item_affinity(request)
        loss = own.new_zeros(())
        if self.listmle_weight:
            loss = loss + self.listmle_weight * listmle_loss(own * self.listmle_scale, valid)
        if self.sampled_softmax_weight and len(valid) > 1:
            # each request's user paired with the candidates of the next request
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
        """Square of the mean list effect on each slot of a batch; a scalar.

        An effect that a slot has in every list is a bias of the slot. It belongs to examination: as
        a list effect it would be predicted for any item that is moved there.
        """
        if not self.evaluator.has_list_effects or not self.slot_bias_weight:
            return self.listmle_scale.new_zeros(())
        added = self.evaluator.list_effects(encoded, slot_encodings, slot_valid)  # (E, B, L, M)
        weight = slot_valid.unsqueeze(1).to(added.dtype)
        mean = (added * weight).sum(dim=(1, 2)) / weight.sum(dim=(0, 1)).clamp(min=1.0)
        return self.slot_bias_weight * mean.square().sum()
