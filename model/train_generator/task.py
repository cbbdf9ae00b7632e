"""The generator as a task of the training loop (METHOD section 5).

One step: take lists, let the CRU choose a replacement for every slot, let the evaluator score the
neighbors, and teach the CRU (L1) and the PDU (L2) from the gains.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from model.checkpoint import BEST, Checkpoint, write_checkpoint
from model.config import Config
from model.contract.choice import Objective
from model.data.batches import Batch, Gatherer
from model.data.split import TRAIN, VALIDATION
from model.data.tables import LogTables
from model.data.values import candidate_values
from model.loop import Numbers
from model.losses import (
    expected_reward_loss,
    position_loss,
    reward_loss,
    sampled_reward_loss,
    straight_through,
)
from model.neighbors import all_edits, mix_edit, one_edit
from model.nets.build import build_generator, start_from_evaluator
from model.nets.evaluator import Evaluator
from model.nets.inputs import RequestTensors, input_list
from model.nets.policy import Choices, choose_for_every_slot, gumbel_noise
from model.nets.shape import Fields
from model.proposals import Editing, single_list
from model.rewards import list_reward, shape
from model.search import Scorer
from model.train_generator.states import distinct_requests, training_states
from model.train_generator.validation import best_reward, entropies, ratio

SAMPLE = 256  # validation requests that are looked at after each epoch
MEAN_OF = 2048  # lists whose mean value is the unit of shaped rewards


class GeneratorTask:
    """The generator as a task of the loop."""

    title = "generator"
    watch = "negative_gain"

    def __init__(
        self, config: Config, tables: LogTables, evaluator: Evaluator, folder: Path, device: str
    ) -> None:
        self.config, self.tables, self.folder = config, tables, folder
        self.evaluator = evaluator.to(device)
        self.device = torch.device(device)
        training = config.train_generator
        self.rng = torch.Generator().manual_seed(training.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(training.seed)  # only the initial weights
            fields = Fields.of(tables.schema)
            self.net = build_generator(config.generator, config.evaluator, fields, tables.slots).to(
                device
            )
        start_from_evaluator(self.net, evaluator)
        self.optimizer: torch.optim.Optimizer = torch.optim.Adam(
            self.net.parameters(), lr=training.lr
        )
        objective = config.objective
        self.objective = Objective(
            click=objective.click, conversion=objective.conversion, value=objective.value
        )
        self.gatherer = Gatherer(tables, device)
        self._values: Tensor | None = None
        if objective.value and objective.value_field is not None:
            values = candidate_values(tables, objective.value_field)
            self._values = torch.from_numpy(values).to(device)
        self._train = torch.from_numpy(
            distinct_requests(tables, np.flatnonzero(tables.part == TRAIN))
        )
        self._validation = torch.from_numpy(np.flatnonzero(tables.part == VALIDATION))
        self.mean_reward = self._mean_reward()
        self._best: Tensor | None = None

    def train_rows(self) -> Tensor:
        """Rows of the training part."""
        return self._train

    def batch_size(self) -> int:
        """min(max_batch, rows / 50)."""
        return max(1, min(self.config.train_generator.max_batch, len(self._train) // 50))

    def step(self, rows: Tensor, done: float) -> Numbers:
        """One step of Adam on mean(L1 + alpha L2)."""
        training = self.config.train_generator
        batch = self.gatherer.gather(rows, prefix_share=training.prefix_share, rng=self.rng)
        lists = self._states(batch.request)
        values = self._values_of(batch)
        loss_item, loss_slot, gain = self.losses(batch.request, values, lists, done)
        loss = (loss_item + training.alpha * loss_slot).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss.item(), "gain": gain.mean().item()}

    def _states(self, request: RequestTensors) -> Tensor:
        training = self.config.train_generator
        return training_states(
            self.net,
            request,
            edits=self.config.generator.edits,
            share=training.edited_share,
            scale=training.noise_scale,
            rng=self.rng,
        )

    def losses(
        self, request: RequestTensors, values: Tensor | None, lists: Tensor, done: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """L1 (B,), L2 (B,) and the gains r_j (B, M) of the chosen neighbors."""
        training = self.config.train_generator
        state = self.net.encode(request)
        shape_ = (*lists.shape, request.cand_valid.shape[1])
        noise = training.noise_scale * gumbel_noise(shape_, self.rng, lists.device)
        blind = training.explore * max(0.0, 1.0 - 3.0 * done)
        explore = torch.rand(lists.shape, generator=self.rng).to(lists.device) < blind
        choices = choose_for_every_slot(self.net, state, request, lists, noise, explore)
        scorer = Scorer(self.evaluator, request, self.objective, values)
        base = self._shaped(scorer(lists.unsqueeze(1)))  # (B, 1)
        tau = training.tau_start + (training.tau_end - training.tau_start) * done
        loss, gain = self._item_loss(scorer, lists, choices, base, tau)
        return loss, position_loss(choices.log_p, gain, request.slot_valid), gain.detach()

    def _item_loss(
        self, scorer: Scorer, lists: Tensor, choices: Choices, base: Tensor, tau: float
    ) -> tuple[Tensor, Tensor]:
        valid = scorer.request.slot_valid
        kind = self.config.train_generator.cru_loss
        if kind == "straight_through":
            gain = self._soft_gain(scorer, lists, choices, base, tau)
            return reward_loss(gain, valid), gain
        if kind == "sampled":
            gain = self._shaped(scorer(one_edit(lists, choices.items, valid))) - base
            log_q = torch.log_softmax(choices.g, dim=-1)
            chosen = log_q.gather(-1, choices.items.unsqueeze(-1)).squeeze(-1)
            return sampled_reward_loss(chosen, gain, valid), gain
        n = choices.g.shape[-1]
        neighbors = all_edits(lists, n, valid).flatten(1, 2)
        every = (self._shaped(scorer(neighbors)) - base).unflatten(1, (lists.shape[1], n))
        gain = every.gather(-1, choices.items.unsqueeze(-1)).squeeze(-1)
        return expected_reward_loss(torch.log_softmax(choices.g, dim=-1), every, valid), gain

    def _soft_gain(
        self, scorer: Scorer, lists: Tensor, choices: Choices, base: Tensor, tau: float
    ) -> Tensor:
        valid = scorer.request.slot_valid
        hard = functional.one_hot(choices.items, choices.g.shape[-1]).to(choices.g.dtype)
        q = straight_through(choices.noisy, hard, tau)
        shown = mix_edit(scorer.encoded.candidates, lists, q, valid)
        p_click, p_conversion = self.evaluator.score(scorer.encoded, shown, valid)
        values = None
        if scorer.values is not None:
            mixed = mix_edit(scorer.values[None, :, :, None], lists, q, valid)
            values = mixed[0, ..., 0]
        reward = list_reward(p_click, p_conversion, values, self.objective).mean(dim=0)
        return self._shaped(reward) - base

    def _shaped(self, reward: Tensor) -> Tensor:
        return shape(reward, self.mean_reward)

    @torch.no_grad()
    def _mean_reward(self) -> float:
        """Mean value of lists that were shown in the training part, by the evaluator (a sample)."""
        rows = self._train[torch.randperm(len(self._train), generator=self.rng)[:MEAN_OF]]
        batches = (
            self.gatherer.gather(rows[at : at + SAMPLE]) for at in range(0, len(rows), SAMPLE)
        )
        totals = [self._scorer(batch)(batch.shown.unsqueeze(1)).sum() for batch in batches]
        return max(float(torch.stack(totals).sum()) / max(len(rows), 1), 1e-6)

    def sample(self) -> Tensor:
        """Validation rows that are looked at after each epoch; the same ones every time."""
        order = torch.randperm(len(self._validation), generator=torch.Generator().manual_seed(0))
        return self._validation[order[:SAMPLE]]

    def scorer(self, rows: Tensor) -> Scorer:
        """The evaluator on these rows as one batch."""
        return self._scorer(self.gatherer.gather(rows))

    def _scorer(self, batch: Batch) -> Scorer:
        return Scorer(self.evaluator, batch.request, self.objective, self._values_of(batch))

    def _values_of(self, batch: Batch) -> Tensor | None:
        return None if self._values is None else self._values[batch.index]

    def editing(self) -> Editing:
        """How this generator proposes the single list."""
        generator = self.config.generator
        return Editing(edits=generator.edits, stop=generator.stop_on_no_change)

    def validate(self) -> Numbers:
        """Gain and value ratio of the single list, entropies, share of lists left unchanged."""
        batch = self.gatherer.gather(self.sample())
        scorer = self._scorer(batch)
        gain, unchanged = single_list(self.net, scorer, self.editing())
        given = scorer(input_list(batch.request).unsqueeze(1)).squeeze(1)
        if self._best is None:  # the evaluator is frozen: its best lists never change
            self._best = best_reward(scorer, torch.Generator().manual_seed(0))
        slot_entropy, item_entropy = entropies(self.net, batch)
        return {
            "negative_gain": -float(gain.mean()),
            "gain": float(gain.mean()),
            "value_ratio": ratio(gain, given, self._best),
            "unchanged": float(unchanged.float().mean()),
            "entropy_pdu": slot_entropy,
            "entropy_cru": item_entropy,
        }

    def save_best(self, numbers: Numbers) -> None:
        """Write best.pt."""
        write_checkpoint(self.folder / BEST, self.checkpoint({"validation": numbers}))

    def checkpoint(self, facts: dict[str, object]) -> Checkpoint:
        """The present weights with what export needs to know."""
        tables = self.tables
        counts = tables.shown_count[tables.part == TRAIN]
        return Checkpoint(
            kind="generator",
            config=self.config,
            schema=tables.schema,
            slots=tables.slots,
            sessions=tables.history,
            max_candidates=tables.max_candidates,
            list_sizes=sorted({int(n) for n in np.unique(counts)}),
            weights=self.net.state_dict(),
            facts={
                "fingerprint": tables.fingerprint,
                "mean_reward": self.mean_reward,
                **facts,
            },
        )
