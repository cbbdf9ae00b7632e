"""The generator as a task of the training loop (docs/explanation/method.md#generator-training).

One step takes lists, samples a replacement for every slot with the CRU, scores the neighbors with
the evaluator, and trains the CRU (L1) and the PDU (L2) on the gains.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model.checkpoint import BEST_FILE, Checkpoint, write_checkpoint
from model.config.pipeline_config import PipelineConfig
from model.data.tables.batches import Batch, BatchLoader
from model.data.tables.item_popularity import ItemCounts
from model.data.tables.item_values import gather_item_values
from model.data.tables.split import TRAIN, VALIDATION
from model.data.tables.table_cache import LogTables
from model.nets.build import build_generator, init_from_evaluator
from model.nets.evaluators.abstract_evaluator import Evaluator
from model.nets.field_layout import FieldLayout
from model.nets.generators.abstract_generator import Generator
from model.nets.generators.list_editing import left_to_right_noise
from model.nets.request_tensors import input_list
from model.search.proposals import EditingOptions, single_list_gain
from model.search.scorer import EvaluatorScorer
from model.training.generator.neighbor_loss import NeighborLoss
from model.training.generator.policy_validation import (
    best_list_reward,
    policy_entropies,
    value_ratio_where_known,
)
from model.training.generator.training_lists import deduplicate_requests, sample_training_lists
from model.training.trainer import EpochMetrics

VALIDATION_SAMPLE_SIZE = 256  # requests that are evaluated after each epoch
MEAN_REWARD_SAMPLE_SIZE = 2048  # lists whose mean value is the unit of shaped rewards


class GeneratorTrainingTask:
    """The generator with its data, loss and optimizer, as a `TrainingTask`."""

    title = "generator"
    monitor = "gain"
    monitor_unit = "expected reward"
    higher_is_better = True

    def __init__(
        self,
        config: PipelineConfig,
        tables: LogTables,
        evaluator: Evaluator,
        folder: Path,
        device: str,
    ) -> None:
        self.config, self.tables, self.folder = config, tables, folder
        self.evaluator = evaluator.to(device)
        self.device = torch.device(device)
        training = config.train_generator
        self.rng = torch.Generator().manual_seed(training.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(training.seed)  # seeds only the initial weights
            fields = FieldLayout.from_schema(tables.schema)
            self.net = build_generator(config.generator, config.evaluator, fields, tables.slots).to(
                device
            )
        init_from_evaluator(self.net, evaluator)
        self.optimizer: torch.optim.Optimizer = torch.optim.Adam(
            self.net.parameters(), lr=training.lr
        )
        objective = config.objective
        self.objective = objective.to_reward_weights()
        self.batch_loader = BatchLoader(tables, device)
        self._values: Tensor | None = None
        if objective.value and objective.value_field is not None:
            values = gather_item_values(tables, objective.value_field)
            self._values = torch.from_numpy(values).to(device)
        self._train = torch.from_numpy(
            deduplicate_requests(tables, np.flatnonzero(tables.part == TRAIN))
        )
        self._validation = torch.from_numpy(np.flatnonzero(tables.part == VALIDATION))
        self.mean_reward = self._mean_reward()
        self._objective = NeighborLoss(training, self.mean_reward, self.rng)
        edits, slots = config.generator.edits, tables.slots
        turns = (
            left_to_right_noise(edits, slots)
            if training.left_to_right
            else torch.zeros(edits, slots)
        )
        self._slot_noise = turns.to(device)
        self._popularity: Tensor | None = None
        if training.replacement == "popularity":
            shows = ItemCounts.from_tables(tables).log_show_counts()
            self._popularity = torch.from_numpy(shows).float().to(device)
        self._best: Tensor | None = None

    def train_rows(self) -> Tensor:
        """Rows of the training part."""
        return self._train

    def batch_size(self) -> int:
        """min(max_batch_size, rows / 50)."""
        return max(1, min(self.config.train_generator.max_batch_size, len(self._train) // 50))

    def num_epochs(self) -> int:
        """Epochs as configured, or as many as `min_steps` needs."""
        training, rows = self.config.train_generator, len(self._train)
        a_pass = -(-rows // self.batch_size())
        return max(training.epochs, -(-training.min_steps // a_pass))

    def train_step(self, rows: Tensor, progress: float) -> EpochMetrics:
        """One step of Adam on mean(L1 + alpha L2)."""
        training = self.config.train_generator
        batch = self.batch_loader.gather(rows, prefix_share=training.prefix_share, rng=self.rng)
        scorer = self._scorer_for_batch(batch)
        lists = sample_training_lists(self.net, scorer, training, self._slot_noise, self.rng)
        prior = None
        if self._popularity is not None:
            prior = self._popularity[batch.request.candidates[..., 0].long()]
        learned = self._objective(self.net, scorer, lists, progress, prior)
        loss = (learned.item_loss + training.alpha * learned.slot_loss).mean()
        self._update_learning_rate(progress)
        self.optimizer.zero_grad()
        loss.backward()
        norms = {f"grad_{unit}": _gradient_norm(self.net, unit) for unit in ("cru", "pdu")}
        self.optimizer.step()
        return {"loss": loss.item(), "gain": learned.gain.mean().item(), **norms}

    def _update_learning_rate(self, done: float) -> None:
        """Set the learning rate for this share of completed training."""
        training = self.config.train_generator
        left = (1.0 - done) / training.lr_decay_share if training.lr_decay_share else 1.0
        for group in self.optimizer.param_groups:
            group["lr"] = training.lr * min(1.0, left)

    @torch.no_grad()
    def _mean_reward(self) -> float:
        """Mean predicted reward of a sample of the training part's shown lists."""
        rows = self._train[
            torch.randperm(len(self._train), generator=self.rng)[:MEAN_REWARD_SAMPLE_SIZE]
        ]
        batches = (
            self.batch_loader.gather(rows[at : at + VALIDATION_SAMPLE_SIZE])
            for at in range(0, len(rows), VALIDATION_SAMPLE_SIZE)
        )
        totals = [
            self._scorer_for_batch(batch)(batch.shown.unsqueeze(1)).sum() for batch in batches
        ]
        return max(float(torch.stack(totals).sum()) / max(len(rows), 1), 1e-6)

    def validation_sample(self) -> Tensor:
        """Validation rows that are evaluated after each epoch; the same ones each time."""
        order = torch.randperm(len(self._validation), generator=torch.Generator().manual_seed(0))
        return self._validation[order[:VALIDATION_SAMPLE_SIZE]]

    def scorer_for_rows(self, rows: Tensor) -> EvaluatorScorer:
        """The evaluator bound to these rows as one batch."""
        return self._scorer_for_batch(self.batch_loader.gather(rows))

    def _scorer_for_batch(self, batch: Batch) -> EvaluatorScorer:
        return EvaluatorScorer(
            self.evaluator, batch.request, self.objective, self._values_of(batch)
        )

    def _values_of(self, batch: Batch) -> Tensor | None:
        return None if self._values is None else self._values[batch.rows]

    def editing_options(self) -> EditingOptions:
        """Options of proposing the single list."""
        return EditingOptions.from_config(self.config)

    def validate(self) -> EpochMetrics:
        """Gain and value ratio of the single list, entropies, share of lists left unchanged."""
        batch = self.batch_loader.gather(self.validation_sample())
        scorer = self._scorer_for_batch(batch)
        gain, unchanged = single_list_gain(self.net, scorer, self.editing_options())
        given = scorer(input_list(batch.request).unsqueeze(1)).squeeze(1)
        if self._best is None:  # the evaluator is frozen: its best lists never change
            self._best = best_list_reward(scorer, torch.Generator().manual_seed(0))
        slot_entropy, item_entropy = policy_entropies(self.net, scorer)
        return {
            "gain": float(gain.mean()),
            "value_ratio": value_ratio_where_known(gain, given, self._best),
            "unchanged": float(unchanged.float().mean()),
            "entropy_pdu": slot_entropy,
            "entropy_cru": item_entropy,
        }

    def save_best_checkpoint(self, metrics: EpochMetrics) -> None:
        """Write best.pt."""
        write_checkpoint(self.folder / BEST_FILE, self.build_checkpoint({"validation": metrics}))

    def build_checkpoint(self, facts: dict[str, object]) -> Checkpoint:
        """Checkpoint with the current weights and the metadata that export needs."""
        tables = self.tables
        counts = tables.shown_count[tables.part == TRAIN]
        return Checkpoint(
            kind="generator",
            config=self.config,
            schema=tables.schema,
            slots=tables.slots,
            history_length=tables.history_length,
            max_candidates=tables.max_candidates,
            list_sizes=sorted({int(n) for n in np.unique(counts)}),
            weights=self.net.state_dict(),
            metadata={
                "fingerprint": tables.fingerprint,
                "mean_reward": self.mean_reward,
                **facts,
            },
        )


def _gradient_norm(net: Generator, unit: str) -> float:
    """Gradient norm of one decision unit's own weights: L1's for the CRU, L2's for the PDU."""
    own = [p.grad for name, p in net.named_parameters() if name.startswith(unit)]
    return float(torch.stack([g.norm() for g in own if g is not None]).norm())
