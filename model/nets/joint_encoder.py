"""What both published nets look up and encode of a request, at once. For graphs, not for training.

The generator's embeddings and user encoder have the evaluator's shapes (METHOD section 3), so it is
one more member of the same products: a third of the nodes of two encoders, and half of their time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.nets.embedding import FieldEmbedding
from model.nets.inputs import RequestTensors
from model.nets.nlgr_evaluator import NlgrEvaluator
from model.nets.nlgr_generator import NlgrGenerator
from model.nets.shape import Fields
from model.nets.user_encoder import UserEncoder


class JointEncoder(nn.Module):
    """E members of an evaluator and, as the last, a generator: copies of their weights."""

    def __init__(self, evaluator: NlgrEvaluator, generator: NlgrGenerator) -> None:
        super().__init__()
        self.evaluators = evaluator.members
        self.candidate_fields = evaluator.candidate_fields
        fields = Fields(
            table_rows=evaluator.embedding.table.shape[0],
            candidate=evaluator.candidate_fields,
            session=evaluator.user.session_fields,
            user=evaluator.user.user_fields,
        )
        width, members = generator.width, evaluator.members + 1
        self.embedding = FieldEmbedding(fields.table_rows, width, members=members)
        self.user = UserEncoder(fields, width, members=members)
        with torch.no_grad():
            tables = (evaluator.embedding.table, generator.embedding.table)
            self.embedding.table.copy_(torch.cat(tables, dim=1))
            theirs, its = evaluator.user.state_dict(), generator.user.state_dict()
            for name, weight in self.user.state_dict().items():
                weight.copy_(torch.cat([theirs[name], its[name].unsqueeze(0)]))

    def forward(self, request: RequestTensors) -> tuple[Tensor, Tensor]:
        """Embedded candidates (E + 1, B * N, F, D) and encoded users (E + 1, B, size)."""
        x = self.embedding.in_graph(request.candidates, self.candidate_fields)
        return x.transpose(1, 2), self.user(self.embedding, request)
