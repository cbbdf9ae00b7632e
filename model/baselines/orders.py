"""Orders that need no net: what upstream sent, and what is clicked most."""

from __future__ import annotations

import torch
from torch import Tensor

from model.baselines.ranker import top_lists, with_noise
from model.data.log_tables import LogTables
from model.data.popularity import ItemCounts
from model.nets.inputs import RequestTensors


class InputOrder:
    """The first M candidates: what is shown without a reranker. No paper: the zero of every scale.

    Further lists perturb minus the log of the place, so that early candidates stay likely.
    """

    def propose(self, request: RequestTensors, num_lists: int, rng: torch.Generator) -> Tensor:
        """See `Ranker.propose`."""
        n = request.cand_valid.shape[1]
        place = torch.arange(1, n + 1, device=request.cand_valid.device)
        scores = -torch.log(place.float()).expand(request.cand_valid.shape)
        return top_lists(with_noise(scores, num_lists, rng), request)


class Popularity:
    """Items by their click share in the training part, smoothed. No paper: a yardstick.

    Scores are logarithms, so that noise draws in proportion to the share.
    """

    def __init__(self, share: Tensor) -> None:
        """Args: share (table rows,) float, click share of the item whose id has this row."""
        self._log_share = share.log()

    @classmethod
    def of(cls, tables: LogTables) -> Popularity:
        """Count the training part."""
        return cls(torch.from_numpy(ItemCounts.of(tables).click_share()))

    def propose(self, request: RequestTensors, num_lists: int, rng: torch.Generator) -> Tensor:
        """See `Ranker.propose`."""
        held = self._log_share.to(request.candidates.device)
        scores = held[request.candidates[..., 0].long()]
        return top_lists(with_noise(scores, num_lists, rng), request)
