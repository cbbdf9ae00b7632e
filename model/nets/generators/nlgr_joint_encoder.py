"""What both published nets look up and encode of a request, at once. For graphs, not for training.

The generator's embeddings and user encoder have the evaluator's shapes (METHOD section 3), so it is
one more member of the same products: a third of the nodes of two encoders, and half of their time.
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
    """E members of an evaluator and, as the last, a generator: copies of their weights."""

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
            theirs, its = evaluator.user_encoder.state_dict(), generator.user_encoder.state_dict()
            for name, weight in self.user_encoder.state_dict().items():
                weight.copy_(torch.cat([theirs[name], its[name].unsqueeze(0)]))

    def forward(self, request: RequestTensors) -> tuple[Tensor, Tensor]:
        """Embedded candidates (E + 1, B * N, F, D) and encoded users (E + 1, B, size)."""
        x = self.embedding.forward_for_export(request.candidates, self.candidate_fields)
        return x.transpose(1, 2), self.user_encoder(self.embedding, request)
