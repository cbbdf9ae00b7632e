"""Orders without a network: upstream order and item popularity."""

from __future__ import annotations

import torch
from torch import Tensor

from model.baselines.ranker import perturb_scores, top_scored_lists
from model.data.tables.item_popularity import ItemCounts
from model.data.tables.log_tables import LogTables
from model.nets.request_tensors import RequestTensors


class InputOrderRanker:
    """The first M candidates, which are shown without a reranker. No paper.

    Further lists add noise to -log(position), so early candidates remain likely.
    """

    def propose(self, request: RequestTensors, num_lists: int, rng: torch.Generator) -> Tensor:
        """See `Ranker.propose`."""
        n = request.cand_valid.shape[1]
        place = torch.arange(1, n + 1, device=request.cand_valid.device)
        scores = -torch.log(place.float()).expand(request.cand_valid.shape)
        return top_scored_lists(perturb_scores(scores, num_lists, rng), request)


class PopularityRanker:
    """Candidates by their smoothed click share in the training part. No paper.

    Scores are logarithms, so noise samples in proportion to the share.
    """

    def __init__(self, click_share: Tensor) -> None:
        """Args: click_share: (embedding rows,) float, click share of the item with this id row."""
        self._log_share = click_share.log()

    @classmethod
    def from_tables(cls, tables: LogTables) -> PopularityRanker:
        """Count shows and clicks in the training part."""
        return cls(torch.from_numpy(ItemCounts.from_tables(tables).smoothed_click_rate()))

    def propose(self, request: RequestTensors, num_lists: int, rng: torch.Generator) -> Tensor:
        """See `Ranker.propose`."""
        log_share = self._log_share.to(request.candidates.device)
        scores = log_share[request.candidates[..., 0].long()]
        return top_scored_lists(perturb_scores(scores, num_lists, rng), request)
