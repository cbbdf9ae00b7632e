"""Lists that a generator proposes for a batch, as serving does, and the choice among them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from model.config.pipeline_config import PipelineConfig
from model.contract.scoring.noise import request_noise
from model.contract.scoring.objective import select_lists
from model.nets.generators.abstract_generator import Generator
from model.nets.generators.edit_inputs import EditInputs
from model.nets.generators.list_editing import encode_and_edit, left_to_right_noise
from model.nets.request_tensors import input_list
from model.search.scorer import EvaluatorScorer, refine_lists


@dataclass(frozen=True, slots=True, kw_only=True)
class EditingOptions:
    """How lists are proposed.

    edits, num_lists, noise_scale: T, K, and s of the noise.
    stop_on_no_change: the paper's stopping rule.
    left_to_right: edit t changes slot t and ignores the PDU (an ablation).
    """

    edits: int
    num_lists: int = 1
    noise_scale: float = 0.0
    stop_on_no_change: bool = False
    left_to_right: bool = False

    @classmethod
    def from_config(cls, config: PipelineConfig) -> EditingOptions:
        """Options of one list without noise for a generator of this configuration."""
        return cls(
            edits=config.generator.edits,
            stop_on_no_change=config.generator.stop_on_no_change,
            left_to_right=config.train_generator.left_to_right,
        )


@dataclass(frozen=True, slots=True)
class ProposedLists:
    """Lists proposed for a batch and their rewards by evaluator member.

    lists: (B, K + 1, M), the input list last; K + 2 where the chosen list was refined.
    rewards: (E, B, K + 1), of the same lists.
    """

    lists: Tensor
    rewards: Tensor


def generate_lists(net: Generator, scorer: EvaluatorScorer, options: EditingOptions) -> Tensor:
    """(B, K, M) lists as serving would propose them; request b of the batch has seed b."""
    request = scorer.request
    given = input_list(request)
    b, m = given.shape
    n = request.cand_valid.shape[1]
    drawn = [
        request_noise(
            seed=seed,
            lists=options.num_lists,
            edits=options.edits,
            slots=m,
            candidates=n,
            scale=options.noise_scale,
        )
        for seed in range(b)
    ]
    slot_noise = torch.from_numpy(np.stack([s for s, _ in drawn])).to(given.device)
    if options.left_to_right:
        slot_noise = slot_noise + left_to_right_noise(options.edits, m).to(given.device)
    counts = scorer.reward_weight_tensors(relative=True)
    start = EditInputs(
        given,
        request.slot_valid,
        slot_noise,
        torch.from_numpy(np.stack([i for _, i in drawn])).to(given.device),
        net.relevance_scores(scorer.encoded_request, counts.click_weight, counts.conversion_weight),
    )
    with torch.no_grad():
        return encode_and_edit(
            net, request, scorer.encoded_request, start, stop_on_no_change=options.stop_on_no_change
        )


def propose_and_score_lists(
    net: Generator, scorer: EvaluatorScorer, options: EditingOptions
) -> ProposedLists:
    """Propose K lists per request and score them together with the input list."""
    given = input_list(scorer.request).unsqueeze(1)
    lists = torch.cat([generate_lists(net, scorer, options), given], dim=1)
    return ProposedLists(lists, scorer.member_rewards(lists))


def append_refined_list(
    proposals: ProposedLists, scorer: EvaluatorScorer, risk_aversion: float, max_rounds: int
) -> ProposedLists:
    """Insert the refined form of the chosen list before the input list."""
    if not max_rounds:
        return proposals
    chosen = torch.from_numpy(select_lists(proposals.rewards.cpu().numpy(), risk_aversion))
    lists = proposals.lists
    start = lists[torch.arange(len(lists)), chosen.to(lists.device)]
    refined = refine_lists(scorer, start, max_rounds).unsqueeze(1)
    rewards = [
        proposals.rewards[..., :-1],
        scorer.member_rewards(refined),
        proposals.rewards[..., -1:],
    ]
    return ProposedLists(
        torch.cat([lists[:, :-1], refined, lists[:, -1:]], dim=1), torch.cat(rewards, dim=-1)
    )


def single_list_gain(
    net: Generator, scorer: EvaluatorScorer, options: EditingOptions
) -> tuple[Tensor, Tensor]:
    """Gain (B,) of list 0, which has no noise, over the input list; and whether both are equal."""
    proposals = propose_and_score_lists(net, scorer, replace(options, num_lists=1, noise_scale=0.0))
    rewards = proposals.rewards.mean(dim=0)
    unchanged = (proposals.lists[:, 0] == proposals.lists[:, 1]).all(dim=-1)
    return rewards[:, 0] - rewards[:, 1], unchanged


def served_list_gain(proposals: ProposedLists, risk_aversion: float) -> Tensor:
    """Mean gain (B,) of the list that would be served; 0 where that is the input list."""
    chosen = torch.from_numpy(select_lists(proposals.rewards.cpu().numpy(), risk_aversion))
    mean = proposals.rewards.mean(dim=0).cpu()
    return mean.gather(1, chosen.unsqueeze(1)).squeeze(1) - mean[:, -1]
