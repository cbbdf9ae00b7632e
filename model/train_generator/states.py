"""The lists that a generator learns from: where serving starts, and where its own edits lead."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.config import GeneratorTraining
from model.data.log_tables import LogTables
from model.nets.edit_start import in_order, never_unless
from model.nets.edits import begin_edits, edit_once, places
from model.nets.generator import Generator
from model.nets.inputs import input_list
from model.nets.policy import gumbel_noise
from model.search import Scorer


@torch.no_grad()
def training_states(
    net: Generator,
    scorer: Scorer,
    training: GeneratorTraining,
    turns: Tensor,
    rng: torch.Generator,
) -> Tensor:
    """Lists where editing starts, and for a share of the rows after 1..T edits of this policy.

    Args:
        net: the present policy; no gradient reaches it.
        scorer: the evaluator on the batch.
        training: shares of rows that are edited, and that start at the input list, as serving does
            where rules forbid a list in the generator's own order; scale of the noise.
        turns: (T, M), added to the slots' noise: zeros leave the slot to the PDU.
        rng: draws rows, numbers of edits and noise.

    Returns:
        (B, M) int lists.
    """
    request = scorer.request
    (b, n), m, edits = request.cand_valid.shape, request.slot_valid.shape[1], len(turns)
    count = torch.randint(1, edits + 1, (b,), generator=rng)
    edited = torch.rand(b, generator=rng) < training.edited_share
    device = request.user.device
    count = torch.where(edited, count, 0).to(device)
    state = net.encode(request, scorer.encoded)
    never = never_unless(request.cand_valid)
    lists = input_list(request)
    counts = scorer.worth(relative=True)
    order = net.order(scorer.encoded, counts.click, counts.conversion)
    if order is not None:
        own = in_order(order + never, lists, request.slot_valid)
        keeps = torch.rand(b, generator=rng) < training.input_share
        lists = torch.where(keeps.to(device).unsqueeze(1), lists, own)
    at = begin_edits(request, lists, request.slot_valid)
    scale = training.noise_scale
    for t in range(edits):
        noise = (
            scale * gumbel_noise((b, 1, m), rng, device) + turns[t],
            scale * gumbel_noise((b, 1, n), rng, device) + never.unsqueeze(1),
        )
        stepped = edit_once(net, state, at, noise)
        goes_on = (count > t)[:, None, None]
        at = at._replace(rows=torch.where(goes_on, stepped.rows, at.rows))
    return places(request, at).squeeze(1)


def distinct_requests(tables: LogTables, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """One row a user and moment: several lists drawn from one sitting offer the same candidates."""
    moment = np.stack([tables.user_place[rows].astype(np.int64), tables.timestamp[rows]], axis=1)
    return rows[np.sort(np.unique(moment, axis=0, return_index=True)[1])]
