"""One training step of the generator: neighbors, their gains, and the losses L1 and L2.

Source: docs/explanation/method.md#generator-training. No optimizer, batches or files: those are in
`generator_task.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from model.config.pipeline_config import GeneratorTrainingConfig
from model.nets.generators.abstract_generator import Generator
from model.nets.generators.replacement_sampling import (
    SamplingNoise,
    SlotChoices,
    gumbel_noise,
    sample_replacements,
)
from model.search.neighbors import all_neighbors, relaxed_neighbors, replace_each_slot
from model.search.rewards import list_reward, shape_reward
from model.search.scorer import EvaluatorScorer
from model.training.losses import (
    expected_reward_loss,
    position_loss,
    sampled_reward_loss,
    straight_through_choice,
    straight_through_reward_loss,
)

EXPECTED_NEIGHBOR_BUDGET = 100  # per list and step: all at 4 of 12, two slots at 10 of 50


class StepLosses(NamedTuple):
    """L1 (B,), L2 (B,), and the gains r_j (B, M) of the chosen neighbors, without gradient."""

    item_loss: Tensor
    slot_loss: Tensor
    gain: Tensor


class NeighborLoss:
    """L1 and L2 of a batch of lists under a frozen evaluator."""

    def __init__(
        self, training: GeneratorTrainingConfig, mean_reward: float, rng: torch.Generator
    ) -> None:
        self.training, self.mean_reward, self.rng = training, mean_reward, rng

    def __call__(
        self,
        net: Generator,
        scorer: EvaluatorScorer,
        lists: Tensor,
        progress: float,
        prior_log_weights: Tensor | None = None,
    ) -> StepLosses:
        """Sample a replacement for every slot; return both losses from the evaluator's gains.

        Args:
            net: the generator.
            scorer: the evaluator on the batch.
            lists: (B, M) int.
            progress: completed share of the training, for tau and exploration.
            prior_log_weights: (B, N) log popularity, for `replacement = "popularity"`.
        """
        training, request = self.training, scorer.request
        state = net.encode(request, scorer.encoded_request)
        around = self._neighbor_rewards(scorer, lists)
        if around is None:
            base = self._shaped(scorer(lists.unsqueeze(1)))  # (B, 1)
        else:  # summed as for any neighbor, so that the gain of "no change" is exactly 0
            base = around[:, 0].gather(1, lists[:, :1])
        if not training.relative_reward:
            base = torch.zeros_like(base)
        tau = training.tau_start + (training.tau_end - training.tau_start) * progress
        draws = max(1, round(training.samples_per_slot))
        parts = []
        for _ in range(draws):
            draw = self._sampling_noise(
                request.cand_valid.shape[1], lists, progress, prior_log_weights
            )
            choices = sample_replacements(net, state, request, lists, draw)
            drawn = request.slot_valid & self._sampled_slots(lists)
            if around is None:
                item, gain = self._item_loss(scorer, lists, choices, (base, tau, drawn))
            else:
                item, gain = _full_neighborhood_loss(around - base.unsqueeze(-1), choices, drawn)
            slot = position_loss(choices.slot_log_probs, gain, drawn)
            parts.append(StepLosses(item, slot, gain.detach()))
        return StepLosses(*(torch.stack(part).mean(dim=0) for part in zip(*parts, strict=True)))

    def _neighbor_rewards(self, scorer: EvaluatorScorer, lists: Tensor) -> Tensor | None:
        """(B, M, N) shaped rewards of every neighbor; None where not needed or not known."""
        if self.training.cru_loss != "expected" or self.training.expected_loss_slots:
            return None
        around = scorer.neighbor_rewards(lists)
        return None if around is None else self._shaped(around)

    def _sampling_noise(
        self, candidates: int, lists: Tensor, done: float, prior: Tensor | None
    ) -> SamplingNoise:
        training = self.training
        noise = gumbel_noise((*lists.shape, candidates), self.rng, lists.device)
        if training.replacement != "cru":
            return SamplingNoise(noise, torch.ones_like(lists, dtype=torch.bool), prior)
        share = training.exploration_share * max(0.0, 1.0 - 3.0 * done)
        blind = torch.rand(lists.shape, generator=self.rng).to(lists.device) < share
        return SamplingNoise(training.noise_scale * noise, blind)

    def _sampled_slots(self, lists: Tensor) -> Tensor:
        """(B, M) bool: slots that get a neighbor in this step, all or a random share of them."""
        if self.training.samples_per_slot >= 1:
            return torch.ones_like(lists, dtype=torch.bool)
        chance = torch.rand(lists.shape, generator=self.rng).to(lists.device)
        return chance < self.training.samples_per_slot

    def _item_loss(
        self,
        scorer: EvaluatorScorer,
        lists: Tensor,
        choices: SlotChoices,
        given: tuple[Tensor, float, Tensor],
    ) -> tuple[Tensor, Tensor]:
        """L1 (B,) over the sampled slots, and the gains (B, M) of all slots."""
        base, tau, drawn = given
        valid = scorer.request.slot_valid
        kind = self.training.cru_loss
        if kind == "straight_through":
            gain = self._straight_through_gain(scorer, lists, choices, base, tau)
            return straight_through_reward_loss(gain, drawn), gain
        if kind == "sampled":
            gain = (
                self._shaped(scorer(replace_each_slot(lists, choices.replacements, valid))) - base
            )
            log_q = torch.log_softmax(choices.item_logits, dim=-1)
            chosen = log_q.gather(-1, choices.replacements.unsqueeze(-1)).squeeze(-1)
            return sampled_reward_loss(chosen, gain, drawn), gain
        return self._expected_item_loss(scorer, lists, choices, base, drawn)

    def _expected_item_loss(
        self,
        scorer: EvaluatorScorer,
        lists: Tensor,
        choices: SlotChoices,
        base: Tensor,
        drawn: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """L1 (B,) over every neighbor of all slots or of a random subset; gains (B, M).

        The subset has `expected_loss_slots` slots, by default `EXPECTED_NEIGHBOR_BUDGET` / N.
        """
        valid = scorer.request.slot_valid
        (b, m), n = lists.shape, choices.item_logits.shape[-1]
        few = self.training.expected_loss_slots or max(1, EXPECTED_NEIGHBOR_BUDGET // n)
        if few >= m:
            neighbors = all_neighbors(lists, n, valid).flatten(1, 2)
            every = (self._shaped(scorer(neighbors)) - base).unflatten(1, (m, n))
            return _full_neighborhood_loss(every, choices, drawn)
        draw = torch.rand((b, m), generator=self.rng).to(lists.device)
        slots = draw.masked_fill(~valid, -1.0).topk(few, dim=1).indices  # (B, S), existing first
        rows = torch.arange(b, device=lists.device).unsqueeze(1)
        neighbors = all_neighbors(lists, n, valid)[rows, slots].flatten(1, 2)  # (B, S * N, M)
        every = (self._shaped(scorer(neighbors)) - base).unflatten(1, (few, n))
        log_g = torch.log_softmax(choices.item_logits[rows, slots], dim=-1)
        gain = self._shaped(scorer(replace_each_slot(lists, choices.replacements, valid))) - base
        loss = expected_reward_loss(log_g, every, (drawn & valid).gather(1, slots))
        there = valid.sum(dim=1).clamp(min=1)
        return loss * there / there.clamp(max=few), gain

    def _straight_through_gain(
        self, scorer: EvaluatorScorer, lists: Tensor, choices: SlotChoices, base: Tensor, tau: float
    ) -> Tensor:
        valid = scorer.request.slot_valid
        hard = functional.one_hot(choices.replacements, choices.item_logits.shape[-1]).to(
            choices.item_logits.dtype
        )
        q = straight_through_choice(choices.noisy_item_logits, hard, tau)
        shown = relaxed_neighbors(scorer.encoded_request.candidates, lists, q, valid)
        p_click, p_conversion = scorer.evaluator.score(scorer.encoded_request, shown, valid)
        values = None
        if scorer.item_values is not None:
            mixed = relaxed_neighbors(scorer.item_values[None, :, :, None], lists, q, valid)
            values = mixed[0, ..., 0]
        reward = list_reward(p_click, p_conversion, values, scorer.objective).mean(dim=0)
        return self._shaped(reward) - base

    def _shaped(self, reward: Tensor) -> Tensor:
        training = self.training
        return shape_reward(
            reward, self.mean_reward, above=training.shape_above, below=training.shape_below
        )


def _full_neighborhood_loss(
    every: Tensor, choices: SlotChoices, drawn: Tensor
) -> tuple[Tensor, Tensor]:
    """L1 (B,) from the gains (B, M, N) of every neighbor; gains (B, M) of the chosen ones."""
    gain = every.gather(-1, choices.replacements.unsqueeze(-1)).squeeze(-1)
    return expected_reward_loss(torch.log_softmax(choices.item_logits, dim=-1), every, drawn), gain
