"""One encoder for both published nets. For exported graphs, not for training.

Embeddings and user encoder of the generator have the evaluator's shapes, so the generator is one
more ensemble member. A test compares it with the separate encoders. See
docs/explanation/method.md#published-generator.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.nets.blocks.field_embedding import FieldEmbedding
from model.nets.blocks.user_encoder import UserEncoder
from model.nets.evaluators.nlgr_evaluator import NlgrEvaluator
from model.nets.field_layout import FieldLayout
from model.nets.generators.nlgr_generator import NlgrGenerator
from model.nets.request_tensors import RequestTensors


class NlgrJointEncoder(nn.Module):
    """Copies of the weights of E evaluator members and, as the last member, a generator."""

    def __init__(self, evaluator: NlgrEvaluator, generator: NlgrGenerator) -> None:
        super().__init__()
        self.num_evaluator_members = evaluator.members
        self.candidate_fields = evaluator.candidate_fields
        fields = FieldLayout(
            num_embeddings=evaluator.embedding.weight.shape[0],
            candidate=evaluator.candidate_fields,
            session=evaluator.user_encoder.session_fields,
            user=evaluator.user_encoder.user_fields,
        )
        width, members = generator.width, evaluator.members + 1
        self.embedding = FieldEmbedding(fields.num_embeddings, width, members=members)
        self.user_encoder = UserEncoder(fields, width, members=members)
        with torch.no_grad():
            tables = (evaluator.embedding.weight, generator.embedding.weight)
            self.embedding.weight.copy_(torch.cat(tables, dim=1))
            evaluator_state, generator_state = (
                evaluator.user_encoder.state_dict(),
                generator.user_encoder.state_dict(),
            )
            for name, weight in self.user_encoder.state_dict().items():
                weight.copy_(torch.cat([evaluator_state[name], generator_state[name].unsqueeze(0)]))

    def forward(self, request: RequestTensors) -> tuple[Tensor, Tensor]:
        """Embedded candidates (E + 1, B * N, F, D) and encoded users (E + 1, B, size)."""
        x = self.embedding.forward_for_export(request.candidates, self.candidate_fields)
        return x.transpose(1, 2), self.user_encoder(self.embedding, request)
