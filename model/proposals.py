"""The lists that a generator proposes for a batch, as serving would, and which would be served."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from model.config import Config
from model.contract.choice import choose
from model.contract.noise import request_noise
from model.nets.edit_start import EditStart
from model.nets.edits import in_turn, propose
from model.nets.generator import Generator
from model.nets.inputs import input_list
from model.search import Scorer, refine


@dataclass(frozen=True, slots=True, kw_only=True)
class Editing:
    """How lists are proposed.

    edits, num_lists, scale: T, K, and s of the noise.
    stop: the paper's stopping rule.
    in_order: edit t takes slot t (an ablation), whatever the PDU says.
    """

    edits: int
    num_lists: int = 1
    scale: float = 0.0
    stop: bool = False
    in_order: bool = False

    @classmethod
    def of(cls, config: Config) -> Editing:
        """One list without noise, by a generator of this configuration."""
        return cls(
            edits=config.generator.edits,
            stop=config.generator.stop_on_no_change,
            in_order=config.train_generator.left_to_right,
        )


@dataclass(frozen=True, slots=True)
class Proposals:
    """Lists proposed for a batch and what the evaluator's members say of them.

    lists: (B, K + 1, M), the input list last; one more where the chosen one was refined.
    rewards: (E, B, K + 1), of as many.
    """

    lists: Tensor
    rewards: Tensor


def generate_lists(net: Generator, scorer: Scorer, how: Editing) -> Tensor:
    """(B, K, M) lists as serving would propose them; request b of the batch has seed b."""
    request = scorer.request
    given = input_list(request)
    b, m = given.shape
    n = request.cand_valid.shape[1]
    drawn = [
        request_noise(
            seed=seed,
            lists=how.num_lists,
            edits=how.edits,
            slots=m,
            candidates=n,
            scale=how.scale,
        )
        for seed in range(b)
    ]
    slot_noise = torch.from_numpy(np.stack([s for s, _ in drawn])).to(given.device)
    if how.in_order:
        slot_noise = slot_noise + in_turn(how.edits, m).to(given.device)
    counts = scorer.worth(relative=True)
    start = EditStart(
        given,
        request.slot_valid,
        slot_noise,
        torch.from_numpy(np.stack([i for _, i in drawn])).to(given.device),
        net.order(scorer.encoded, counts.click, counts.conversion),
    )
    with torch.no_grad():
        return propose(net, request, scorer.encoded, start, stop_on_no_change=how.stop)


def propose_lists(net: Generator, scorer: Scorer, how: Editing) -> Proposals:
    """K lists a request and the input list, and what the evaluator says of them."""
    given = input_list(scorer.request).unsqueeze(1)
    lists = torch.cat([generate_lists(net, scorer, how), given], dim=1)
    return Proposals(lists, scorer.members(lists))


def refine_chosen(proposals: Proposals, scorer: Scorer, pessimism: float, rounds: int) -> Proposals:
    """With the list that would be chosen, after its ascent, before the input list."""
    if not rounds:
        return proposals
    chosen = torch.from_numpy(choose(proposals.rewards.cpu().numpy(), pessimism))
    lists = proposals.lists
    start = lists[torch.arange(len(lists)), chosen.to(lists.device)]
    refined = refine(scorer, start, rounds).unsqueeze(1)
    rewards = [proposals.rewards[..., :-1], scorer.members(refined), proposals.rewards[..., -1:]]
    return Proposals(
        torch.cat([lists[:, :-1], refined, lists[:, -1:]], dim=1), torch.cat(rewards, dim=-1)
    )


def single_list(net: Generator, scorer: Scorer, how: Editing) -> tuple[Tensor, Tensor]:
    """List 0, which has no noise: its gain (B,) over the input list, and whether it is that."""
    proposals = propose_lists(net, scorer, replace(how, num_lists=1, scale=0.0))
    rewards = proposals.rewards.mean(dim=0)
    unchanged = (proposals.lists[:, 0] == proposals.lists[:, 1]).all(dim=-1)
    return rewards[:, 0] - rewards[:, 1], unchanged


def served_gain(proposals: Proposals, pessimism: float) -> Tensor:
    """Mean gain (B,) of the list that would be served; 0 where that is the input list."""
    chosen = torch.from_numpy(choose(proposals.rewards.cpu().numpy(), pessimism))
    mean = proposals.rewards.mean(dim=0).cpu()
    return mean.gather(1, chosen.unsqueeze(1)).squeeze(1) - mean[:, -1]
