"""Lists that a generator is trained on: the start lists of serving, and its own edits of them."""

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
    """Start lists of editing; for a share of the rows, after 1..T edits of this policy.

    Args:
        net: the current policy; gets no gradient.
        scorer: the evaluator on the batch.
        training: shares of rows that are edited, and that start at the input list, as serving does
            where the list in relevance order breaks a rule; scale of the noise.
        slot_noise: (T, M) float, added to the noise of slots; zeros leave the slot to the PDU.
        rng: draws rows, numbers of edits and noise.

    Returns:
        (B, M) int lists.
    """
    request = scorer.request
    (b, n), m, edits = request.cand_valid.shape, request.slot_valid.shape[1], len(slot_noise)
    num_edits = torch.randint(1, edits + 1, (b,), generator=rng)
    is_edited = torch.rand(b, generator=rng) < training.edited_share
    device = request.user.device
    num_edits = torch.where(is_edited, num_edits, 0).to(device)
    state = net.encode(request, scorer.encoded_request)
    penalty = mask_to_penalty(request.cand_valid)
    lists = input_list(request)
    weights = scorer.reward_weight_tensors(relative=True)
    order = net.relevance_scores(
        scorer.encoded_request, weights.click_weight, weights.conversion_weight
    )
    if order is not None:
        by_relevance = fill_by_score(order + penalty, lists, request.slot_valid)
        keeps = torch.rand(b, generator=rng) < training.input_list_share
        lists = torch.where(keeps.to(device).unsqueeze(1), lists, by_relevance)
    edited = initial_edit_state(request, lists, request.slot_valid)
    scale = training.noise_scale
    for t in range(edits):
        stepped = edit_step(
            net,
            state,
            edited,
            slot_noise=scale * gumbel_noise((b, 1, m), rng, device) + slot_noise[t],
            item_noise=scale * gumbel_noise((b, 1, n), rng, device) + penalty.unsqueeze(1),
        )
        continues = (num_edits > t)[:, None, None]
        edited = edited._replace(rows=torch.where(continues, stepped.rows, edited.rows))
    return to_candidate_indices(request, edited).squeeze(1)


def deduplicate_requests(tables: LogTables, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """One row per user and timestamp: lists of one session have the same candidates."""
    moment = np.stack([tables.user_index[rows].astype(np.int64), tables.timestamp[rows]], axis=1)
    return rows[np.sort(np.unique(moment, axis=0, return_index=True)[1])]
