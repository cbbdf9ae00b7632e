"""Interfaces of rerankers, and sampling of lists from candidate scores.

Valid candidates and valid slots of a request come first, padding is last.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.config.pipeline_config import EvaluatorConfig
from model.contract.schema.declared import CLICKED
from model.contract.schema.fitted import FIRST_VALUE_OFFSET
from model.data.tables.batches import Batch
from model.data.tables.log_tables import LogTables
from model.nets.field_layout import FieldLayout
from model.nets.request_tensors import RequestTensors


class Ranker(Protocol):
    """Proposes K lists; list 0 is the result of the method, the others are alternatives."""

    def propose(self, request: RequestTensors, num_lists: int, rng: torch.Generator) -> Tensor:
        """Propose K lists for each request.

        Args:
            request: tensors of the batch.
            num_lists: K >= 1.
            rng: noise of lists 1 to K - 1; list 0 uses it only if the method itself is random.

        Returns:
            (B, K, M) int64 candidate indices: valid, unique in a list, 0 in invalid slots.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NetDimensions:
    """Dimensions of baseline networks.

    Attributes:
        fields: layout of the feature fields.
        max_candidates: largest N of the log.
        max_slots: largest M of the log.
        embedding_dim: D, the same as the evaluator's.
        hidden_dim: width of hidden layers, the same as the evaluator's.
        clicked_row: embedding row of the session value "clicked".
    """

    fields: FieldLayout
    max_candidates: int
    max_slots: int
    embedding_dim: int
    hidden_dim: int
    clicked_row: int

    @classmethod
    def from_tables(cls, tables: LogTables, config: EvaluatorConfig) -> Self:
        """Dimensions for a log, with the widths of the evaluator."""
        return cls(
            fields=FieldLayout.from_schema(tables.schema),
            max_candidates=tables.max_candidates,
            max_slots=tables.slots,
            embedding_dim=config.width,
            hidden_dim=config.hidden,
            clicked_row=tables.schema.block_starts[CLICKED] + FIRST_VALUE_OFFSET + 1,
        )


class LearnedRanker(nn.Module, ABC):
    """A network that learns from logged lists; trained by `fit_baseline`."""

    @abstractmethod
    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Scalar loss, a mean over the lists of the batch."""

    def validation_loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Scalar that selects the best epoch; the loss unless a method overrides it."""
        return self.loss(batch, rng)

    @abstractmethod
    def propose(self, request: RequestTensors, num_lists: int, rng: torch.Generator) -> Tensor:
        """See `Ranker.propose`."""


class ScoringRanker(LearnedRanker):
    """Scores each candidate once; the list has the M highest scores."""

    @abstractmethod
    def scores(self, request: RequestTensors) -> Tensor:
        """(B, N) float logits; those of padding are ignored."""

    @torch.no_grad()
    def propose(self, request: RequestTensors, num_lists: int, rng: torch.Generator) -> Tensor:
        """See `Ranker.propose`: Gumbel noise on the scores is Plackett-Luce sampling."""
        return top_scored_lists(perturb_scores(self.scores(request), num_lists, rng), request)


def standard_gumbel(shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    """Standard Gumbel noise of this shape, on the device of `rng`."""
    uniform = torch.rand(shape, generator=rng, device=rng.device).clamp(1e-7, 1.0 - 1e-7)
    return -torch.log(-torch.log(uniform))


def noise_except_first_list(
    shape: tuple[int, ...], rng: torch.Generator, device: torch.device
) -> Tensor:
    """Gumbel noise of shape (B, K, ...), 0 for list 0."""
    noise = standard_gumbel(shape, rng)
    noise[:, 0] = 0.0
    return noise.to(device)


def perturb_scores(scores: Tensor, num_lists: int, rng: torch.Generator) -> Tensor:
    """(B, N) scores -> (B, K, N), with Gumbel noise in all lists but the first."""
    b, n = scores.shape
    return scores.unsqueeze(1) + noise_except_first_list((b, num_lists, n), rng, scores.device)


def top_scored_lists(scores: Tensor, request: RequestTensors) -> Tensor:
    """(B, K, N) scores -> (B, K, M) int64 lists of the highest scores, ties in input order."""
    slots, n = request.slot_valid.shape[1], scores.shape[-1]
    masked = scores.masked_fill(~request.cand_valid.unsqueeze(1), float("-inf"))
    order = masked.argsort(dim=-1, descending=True, stable=True)[..., :slots]
    order = functional.pad(order, (0, max(0, slots - n)))
    return order.masked_fill(~request.slot_valid.unsqueeze(1), 0)
