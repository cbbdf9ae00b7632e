"""The lists that a generator learns from: where serving starts, and where its own edits lead."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.config.pipeline_config import GeneratorTrainingConfig
from model.data.tables.log_tables import LogTables
from model.nets.generators.abstract_generator import Generator
from model.nets.generators.edit_inputs import fill_by_score, mask_to_penalty
from model.nets.generators.list_editing import edit_step, initial_edit_state, to_candidate_indices
from model.nets.generators.replacement_sampling import gumbel_noise
from model.nets.request_tensors import input_list
from model.search.scorer import EvaluatorScorer


@torch.no_grad()
def sample_training_lists(
    net: Generator,
    scorer: EvaluatorScorer,
    training: GeneratorTrainingConfig,
    slot_noise: Tensor,
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
    (b, n), m, edits = request.cand_valid.shape, request.slot_valid.shape[1], len(slot_noise)
    count = torch.randint(1, edits + 1, (b,), generator=rng)
    edited = torch.rand(b, generator=rng) < training.edited_share
    device = request.user.device
    count = torch.where(edited, count, 0).to(device)
    state = net.encode(request, scorer.encoded_request)
    never = mask_to_penalty(request.cand_valid)
    lists = input_list(request)
    counts = scorer.reward_weight_tensors(relative=True)
    order = net.relevance_scores(
        scorer.encoded_request, counts.click_weight, counts.conversion_weight
    )
    if order is not None:
        own = fill_by_score(order + never, lists, request.slot_valid)
        keeps = torch.rand(b, generator=rng) < training.input_list_share
        lists = torch.where(keeps.to(device).unsqueeze(1), lists, own)
    at = initial_edit_state(request, lists, request.slot_valid)
    scale = training.noise_scale
    for t in range(edits):
        noise = (
            scale * gumbel_noise((b, 1, m), rng, device) + slot_noise[t],
            scale * gumbel_noise((b, 1, n), rng, device) + never.unsqueeze(1),
        )
        stepped = edit_step(net, state, at, noise)
        goes_on = (count > t)[:, None, None]
        at = at._replace(rows=torch.where(goes_on, stepped.rows, at.rows))
    return to_candidate_indices(request, at).squeeze(1)


def deduplicate_requests(tables: LogTables, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """One row a user and moment: several lists drawn from one sitting offer the same candidates."""
    moment = np.stack([tables.user_index[rows].astype(np.int64), tables.timestamp[rows]], axis=1)
    return rows[np.sort(np.unique(moment, axis=0, return_index=True)[1])]
