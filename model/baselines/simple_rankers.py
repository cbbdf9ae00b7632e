"""Orders that need no net: what upstream sent, and what is clicked most."""

from __future__ import annotations

import torch
from torch import Tensor

from model.baselines.ranker import perturb_scores, top_scored_lists
from model.data.tables.item_popularity import ItemCounts
from model.data.tables.log_tables import LogTables
from model.nets.request_tensors import RequestTensors


class InputOrderRanker:
    """The first M candidates: what is shown without a reranker. No paper: the zero of every scale.

    Further lists perturb minus the log of the place, so that early candidates stay likely.
    """

    def propose(self, request: RequestTensors, num_lists: int, rng: torch.Generator) -> Tensor:
        """See `Ranker.propose`."""
        n = request.cand_valid.shape[1]
        place = torch.arange(1, n + 1, device=request.cand_valid.device)
        scores = -torch.log(place.float()).expand(request.cand_valid.shape)
        return top_scored_lists(perturb_scores(scores, num_lists, rng), request)


class PopularityRanker:
    """Items by their click share in the training part, smoothed. No paper: a yardstick.

    Scores are logarithms, so that noise draws in proportion to the share.
    """

    def __init__(self, click_share: Tensor) -> None:
        """Args: share (table rows,) float, click share of the item whose id has this row."""
        self._log_share = click_share.log()

    @classmethod
    def from_tables(cls, tables: LogTables) -> PopularityRanker:
        """Count the training part."""
        return cls(torch.from_numpy(ItemCounts.from_tables(tables).smoothed_click_rate()))

    def propose(self, request: RequestTensors, num_lists: int, rng: torch.Generator) -> Tensor:
        """See `Ranker.propose`."""
        held = self._log_share.to(request.candidates.device)
        scores = held[request.candidates[..., 0].long()]
        return top_scored_lists(perturb_scores(scores, num_lists, rng), request)
