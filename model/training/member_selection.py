"""Which members of an ensemble are kept: those whose click model fits later lists.

A click model that does not fit the log (a choice of at most one item, where users click several)
would pull the mean of all members and widen their spread. Click models get mixture weights by log
score on lists that the net has not learned from: stacking (Wolpert 1992; Yao et al. 2018, "Using
stacking to average Bayesian predictive distributions").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from model.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from model.config.pipeline_config import EvaluatorConfig
from model.data.tables.batches import BatchLoader
from model.search.scorer import predict_shown_lists_by_member

CLICK_MODEL_WEIGHTS = "click_model_weights"  # in a checkpoint's metadata

MIN_WEIGHT_SHARE = 0.8  # of an equal share: click models with less are dropped
PRIOR_SHARE = 0.02  # lists, as a share of those seen, by which weights are pulled towards equal
MAX_SELECTION_ROWS = 10_000  # lists that decide, evenly spread
_EM_STEPS = 300
_MIN_LIKELIHOOD = 1e-6


def select_members(path: Path, batch_loader: BatchLoader, rows: Tensor) -> dict[str, float]:
    """Drop the members of a checkpoint file whose click model does not fit, once.

    Args:
        path: the checkpoint file of an evaluator.
        batch_loader: of the log.
        rows: (R,) rows with shown lists that the net has not learned from.

    Returns:
        The weight of each click model; empty where there is only one.
    """
    checkpoint = read_checkpoint(path)
    if CLICK_MODEL_WEIGHTS in checkpoint.metadata:
        return dict(checkpoint.metadata[CLICK_MODEL_WEIGHTS])
    models = checkpoint.config.evaluator.member_click_models
    names = list(dict.fromkeys(models))
    weights: dict[str, float] = {}
    if len(names) > 1 and len(rows):
        net = checkpoint.load_evaluator().to(batch_loader.device)
        some = rows[torch.linspace(0, len(rows) - 1, min(MAX_SELECTION_ROWS, len(rows))).long()]
        p, batches = predict_shown_lists_by_member(net, batch_loader, some)
        of_model = torch.stack([p[[m == name for m in models]].mean(dim=0) for name in names])
        fitted = fit_mixture_weights(
            of_model,
            torch.cat([batch.clicks for batch in batches]),
            torch.cat([batch.request.slot_valid for batch in batches]),
        )
        weights = dict(zip(names, fitted.tolist(), strict=True))
        checkpoint = keep_members(checkpoint, _members_of(models, weights))
    metadata = checkpoint.metadata | {CLICK_MODEL_WEIGHTS: weights}
    write_checkpoint(path, replace(checkpoint, metadata=metadata))
    return weights


def _members_of(models: Sequence[str], weights: dict[str, float]) -> list[int]:
    """Members whose click model has at least `MIN_WEIGHT_SHARE` of an equal share."""
    least = MIN_WEIGHT_SHARE / len(weights)
    return [member for member, model in enumerate(models) if weights[model] >= least]


def fit_mixture_weights(p_click: Tensor, clicks: Tensor, valid: Tensor) -> Tensor:
    """Weights of W click models at which their mixture has the highest log score, by EM.

    Args:
        p_click: (W, R, M) of each click model for R lists.
        clicks: (R, M) float 0/1.
        valid: (R, M) bool, slots of the lists.

    Returns:
        (W,) float64, summing to 1.
    """
    models = len(p_click)
    p = p_click[:, valid].double()  # (W, slots)
    likelihood = torch.where(clicks[valid] > 0, p, 1.0 - p).clamp(min=_MIN_LIKELIHOOD)
    prior = PRIOR_SHARE * likelihood.shape[1] / models
    weights = torch.full((models,), 1.0 / models, dtype=torch.float64)
    for _ in range(_EM_STEPS):
        share = weights.unsqueeze(1) * likelihood
        counts = (share / share.sum(dim=0)).sum(dim=1) + prior
        weights = counts / counts.sum()
    return weights


def keep_members(checkpoint: Checkpoint, keep: Sequence[int]) -> Checkpoint:
    """The checkpoint of an ensemble with only these members, in the same order."""
    config = checkpoint.config
    evaluator = config.evaluator
    weights = {
        name: _slice_members(name, value, evaluator.members, keep)
        for name, value in checkpoint.weights.items()
    }
    models = tuple(evaluator.member_click_models[member] for member in keep)
    smaller: EvaluatorConfig = replace(evaluator, members=len(keep), click_models=models)
    return replace(checkpoint, config=replace(config, evaluator=smaller), weights=weights)


def _slice_members(name: str, value: Tensor, members: int, keep: Sequence[int]) -> Tensor:
    """Embedding tables hold members side by side in a row, other weights on the first axis."""
    index = torch.tensor(keep)
    if name.endswith("embedding.weight"):
        return value.unflatten(1, (members, -1))[:, index].flatten(1)
    return value[index]
