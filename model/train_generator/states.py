"""The lists that a generator learns from: where serving starts, and where its own edits lead."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.data.log_tables import LogTables
from model.nets.edits import RULED_OUT, begin_edits, edit_once, places
from model.nets.generator import Generator
from model.nets.inputs import input_list
from model.nets.policy import gumbel_noise
from model.search import Scorer


@torch.no_grad()
def training_states(
    net: Generator,
    scorer: Scorer,
    *,
    turns: Tensor,
    share: float,
    scale: float,
    rng: torch.Generator,
) -> Tensor:
    """Input lists, and for a share of the rows lists after 1..T sampled edits of this policy.

    Args:
        net: the present policy; no gradient reaches it.
        scorer: the evaluator on the batch.
        turns: (T, M), added to the slots' noise: zeros leave the slot to the PDU.
        share: probability that a row is edited.
        scale: of the noise.
        rng: draws rows, numbers of edits and noise.

    Returns:
        (B, M) int lists.
    """
    request = scorer.request
    lists = input_list(request)
    b, m = lists.shape
    n, edits = request.cand_valid.shape[1], len(turns)
    count = torch.randint(1, edits + 1, (b,), generator=rng)
    edited = torch.rand(b, generator=rng) < share
    count = torch.where(edited, count, 0).to(lists.device)
    state = net.encode(request, scorer.encoded)
    at = begin_edits(request, lists, request.slot_valid)
    never = (~request.cand_valid).unsqueeze(1) * -RULED_OUT
    for t in range(edits):
        noise = (
            scale * gumbel_noise((b, 1, m), rng, lists.device) + turns[t],
            scale * gumbel_noise((b, 1, n), rng, lists.device) + never,
        )
        stepped = edit_once(net, state, at, noise)
        goes_on = (count > t)[:, None, None]
        at = at._replace(rows=torch.where(goes_on, stepped.rows, at.rows))
    return places(request, at).squeeze(1)


def distinct_requests(tables: LogTables, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """One row a user and moment: several lists drawn from one sitting offer the same candidates."""
    moment = np.stack([tables.user_place[rows].astype(np.int64), tables.timestamp[rows]], axis=1)
    return rows[np.sort(np.unique(moment, axis=0, return_index=True)[1])]
