"""The generator as a task of the training loop (METHOD section 5).

One step: take lists, let the CRU choose a replacement for every slot, let the evaluator score the
neighbors, and teach the CRU (L1) and the PDU (L2) from the gains.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model.checkpoint import BEST, Checkpoint, write_checkpoint
from model.config import Config
from model.data.batches import Batch, Gatherer
from model.data.popularity import ItemCounts
from model.data.split import TRAIN, VALIDATION
from model.data.tables import LogTables
from model.data.values import candidate_values
from model.loop import Numbers
from model.nets.build import build_generator, start_from_evaluator
from model.nets.edits import in_turn
from model.nets.evaluator import Evaluator
from model.nets.generator import Generator
from model.nets.inputs import input_list
from model.nets.shape import Fields
from model.proposals import Editing, single_list
from model.search import Scorer
from model.train_generator.objective import NeighborObjective
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
        self.objective = objective.weights()
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
        self._objective = NeighborObjective(training, self.mean_reward, self.rng)
        edits, slots = config.generator.edits, tables.slots
        turns = in_turn(edits, slots) if training.left_to_right else torch.zeros(edits, slots)
        self._turns = turns.to(device)
        self._popularity: Tensor | None = None
        if training.replacement == "popularity":
            shows = ItemCounts.of(tables).log_shows()
            self._popularity = torch.from_numpy(shows).float().to(device)
        self._best: Tensor | None = None

    def train_rows(self) -> Tensor:
        """Rows of the training part."""
        return self._train

    def batch_size(self) -> int:
        """min(max_batch, rows / 50)."""
        return max(1, min(self.config.train_generator.max_batch, len(self._train) // 50))

    def epochs(self) -> int:
        """As configured, or as many as make `least_steps`."""
        training, rows = self.config.train_generator, len(self._train)
        a_pass = -(-rows // self.batch_size())
        return max(training.epochs, -(-training.least_steps // a_pass))

    def step(self, rows: Tensor, done: float) -> Numbers:
        """One step of Adam on mean(L1 + alpha L2)."""
        training = self.config.train_generator
        batch = self.gatherer.gather(rows, prefix_share=training.prefix_share, rng=self.rng)
        scorer = self._scorer(batch)
        lists = training_states(self.net, scorer, training, self._turns, self.rng)
        prior = None
        if self._popularity is not None:
            prior = self._popularity[batch.request.candidates[..., 0].long()]
        learned = self._objective(self.net, scorer, lists, done, prior)
        loss = (learned.item + training.alpha * learned.slot).mean()
        self._slow_down(done)
        self.optimizer.zero_grad()
        loss.backward()
        norms = {f"grad_{unit}": _gradient_norm(self.net, unit) for unit in ("cru", "pdu")}
        self.optimizer.step()
        return {"loss": loss.item(), "gain": learned.gain.mean().item(), **norms}

    def _slow_down(self, done: float) -> None:
        """Set the learning rate for this share of the training that is over."""
        training = self.config.train_generator
        left = (1.0 - done) / training.lr_decay if training.lr_decay else 1.0
        for group in self.optimizer.param_groups:
            group["lr"] = training.lr * min(1.0, left)

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
        return Editing.of(self.config)

    def validate(self) -> Numbers:
        """Gain and value ratio of the single list, entropies, share of lists left unchanged."""
        batch = self.gatherer.gather(self.sample())
        scorer = self._scorer(batch)
        gain, unchanged = single_list(self.net, scorer, self.editing())
        given = scorer(input_list(batch.request).unsqueeze(1)).squeeze(1)
        if self._best is None:  # the evaluator is frozen: its best lists never change
            self._best = best_reward(scorer, torch.Generator().manual_seed(0))
        slot_entropy, item_entropy = entropies(self.net, scorer)
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


def _gradient_norm(net: Generator, unit: str) -> float:
    """Norm of the gradient at a decision unit's own weights: L1's at the CRU, L2's at the PDU."""
    own = [p.grad for name, p in net.named_parameters() if name.startswith(unit)]
    return float(torch.stack([g.norm() for g in own if g is not None]).norm())
