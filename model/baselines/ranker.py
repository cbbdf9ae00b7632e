"""What every method here is: it proposes lists for requests. And how scores become lists.

Valid candidates and valid slots of a request stand first, as the data room gathers them.
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
    """Proposes lists. List 0 is the method's answer, the others are there for a choice of K."""

    def propose(self, request: RequestTensors, num_lists: int, rng: torch.Generator) -> Tensor:
        """K lists a request.

        Args:
            request: of the batch.
            num_lists: K >= 1; list 0 never depends on `rng` unless the method is random itself.
            rng: draws what varies between lists.

        Returns:
            (B, K, M) int64 places in the candidates: valid ones, none twice in a list, 0 in slots
            that are not there.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NetDimensions:
    """What the nets of this room are built from.

    candidates, slots: N and M, the longest of the log.
    width, hidden: D and the width of hidden layers, the evaluator's.
    clicked_row: embedding row by which a session says that an item was clicked.
    """

    fields: FieldLayout
    max_candidates: int
    max_slots: int
    embedding_dim: int
    hidden_dim: int
    clicked_row: int

    @classmethod
    def from_tables(cls, tables: LogTables, config: EvaluatorConfig) -> Self:
        """Of a log, as wide as the evaluator."""
        return cls(
            fields=FieldLayout.from_schema(tables.schema),
            max_candidates=tables.max_candidates,
            max_slots=tables.slots,
            embedding_dim=config.width,
            hidden_dim=config.hidden,
            clicked_row=tables.schema.block_starts[CLICKED] + FIRST_VALUE_OFFSET + 1,
        )


class LearnedRanker(nn.Module, ABC):
    """A method that learns from logged lists by gradient; `fitting.py` trains any of them."""

    @abstractmethod
    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Scalar to be minimised, a mean over the lists of the batch."""

    def validation_loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Scalar by which the best epoch is kept; the loss, unless that does not compare epochs."""
        return self.loss(batch, rng)

    @abstractmethod
    def propose(self, request: RequestTensors, num_lists: int, rng: torch.Generator) -> Tensor:
        """See `Ranker.propose`."""


class ScoringRanker(LearnedRanker):
    """Scores each candidate once; the list is the best M of them."""

    @abstractmethod
    def scores(self, request: RequestTensors) -> Tensor:
        """(B, N) logits; those of padding are ignored."""

    @torch.no_grad()
    def propose(self, request: RequestTensors, num_lists: int, rng: torch.Generator) -> Tensor:
        """See `Ranker.propose`: Gumbel noise on the scores is Plackett-Luce sampling."""
        return top_scored_lists(perturb_scores(self.scores(request), num_lists, rng), request)


def standard_gumbel(shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    """Standard Gumbel noise."""
    uniform = torch.rand(shape, generator=rng, device=rng.device).clamp(1e-7, 1.0 - 1e-7)
    return -torch.log(-torch.log(uniform))


def noise_except_first_list(
    shape: tuple[int, ...], rng: torch.Generator, device: torch.device
) -> Tensor:
    """Gumbel noise of shape (B, K, ...), zero for list 0."""
    noise = standard_gumbel(shape, rng)
    noise[:, 0] = 0.0
    return noise.to(device)


def perturb_scores(scores: Tensor, num_lists: int, rng: torch.Generator) -> Tensor:
    """(B, N) scores -> (B, K, N), all but the first perturbed."""
    b, n = scores.shape
    return scores.unsqueeze(1) + noise_except_first_list((b, num_lists, n), rng, scores.device)


def top_scored_lists(scores: Tensor, request: RequestTensors) -> Tensor:
    """Lists of the highest scores, ties in upstream order: (B, K, N) -> (B, K, M) int64."""
    slots, n = request.slot_valid.shape[1], scores.shape[-1]
    held = scores.masked_fill(~request.cand_valid.unsqueeze(1), float("-inf"))
    order = held.argsort(dim=-1, descending=True, stable=True)[..., :slots]
    order = functional.pad(order, (0, max(0, slots - n)))
    return order.masked_fill(~request.slot_valid.unsqueeze(1), 0)
