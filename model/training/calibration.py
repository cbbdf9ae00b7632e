"""Calibration metrics of an evaluator on shown lists, and temperature scaling.

Source: Guo et al., On Calibration of Modern Neural Networks (2017). Dropout, weight decay and the
mean over members make probabilities too low, a small log makes them too high. One factor of the
logits, fitted on validation lists, corrects both; the order of lists hardly changes.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional

from model.checkpoint import read_checkpoint, write_checkpoint
from model.data.tables.batches import BatchLoader
from model.metrics import auc, ece, gauc, log_loss
from model.nets.evaluators.abstract_evaluator import Evaluator
from model.search.scorer import predict_shown_lists
from model.training.trainer import EpochMetrics

CLICK_LOGIT_SCALE = "click_logit_scale"  # key in a checkpoint's metadata
MAX_LOGIT_SCALE = 2.0  # a larger factor would hide that something else is wrong
MAX_CALIBRATION_ROWS = 10_000  # lists that the factor is fitted on, evenly spread
LOG_SCALE_TOLERANCE = 0.005  # of the factor's logarithm


def shown_list_metrics(net: torch.nn.Module, gatherer: BatchLoader, rows: Tensor) -> EpochMetrics:
    """AUC, GAUC, log loss (nats per slot) and ECE of p_click on shown lists."""
    p, clicks, valid = (told.cpu().numpy() for told in _shown(net, gatherer, rows))
    flat_p, flat_click = p[valid], clicks[valid]
    return {
        "logloss": log_loss(flat_p, flat_click),
        "auc": auc(flat_p, flat_click),
        "gauc": gauc(p, clicks, valid),
        "ece": ece(flat_p, flat_click),
    }


def _shown(
    net: torch.nn.Module, gatherer: BatchLoader, rows: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """p_click, clicks, and whether the slot exists, (R, M) each."""
    p, batches = predict_shown_lists(net, gatherer, rows)
    clicks = torch.cat([batch.clicks for batch in batches])
    return p, clicks, torch.cat([batch.request.slot_valid for batch in batches])


def fit_click_logit_scale(net: Evaluator, gatherer: BatchLoader, rows: Tensor) -> float:
    """Multiply the net's click logits, in place, by the factor with the lowest log loss.

    Args:
        net: an evaluator in eval mode.
        gatherer: of the log.
        rows: (R,) rows with shown lists that the net was not trained on.

    Returns:
        The factor, in [1 / MAX_LOGIT_SCALE, MAX_LOGIT_SCALE]; above 1 the predictions of
        attractive items were too low.
    """
    some = rows[torch.linspace(0, len(rows) - 1, min(MAX_CALIBRATION_ROWS, len(rows))).long()]
    reached = 0.0  # logarithm of the factor that is applied to the net now

    def loss(wanted: float) -> float:
        nonlocal reached
        net.scale_click_logits(math.exp(wanted - reached))
        reached = wanted
        p, clicks, valid = _shown(net, gatherer, some)
        return float(functional.binary_cross_entropy(p[valid], clicks[valid].to(p.dtype)))

    limit = math.log(MAX_LOGIT_SCALE)
    found = minimize_scalar(
        loss, bounds=(-limit, limit), method="bounded", options={"xatol": LOG_SCALE_TOLERANCE}
    )
    net.scale_click_logits(math.exp(found.x - reached))
    return math.exp(found.x)


def calibrate_checkpoint(path: Path, gatherer: BatchLoader, rows: Tensor) -> EpochMetrics:
    """Scale the click logits of a checkpoint file, once; returns its validation metrics.

    A checkpoint whose metadata holds a factor already is left as it is.
    """
    given = read_checkpoint(path)
    if CLICK_LOGIT_SCALE in given.metadata:
        return dict(given.metadata["validation"])
    net = given.load_evaluator().to(gatherer.device)
    factor = fit_click_logit_scale(net, gatherer, rows)
    numbers = shown_list_metrics(net, gatherer, rows)
    facts = given.metadata | {"validation": numbers, CLICK_LOGIT_SCALE: factor}
    write_checkpoint(path, replace(given, weights=net.state_dict(), metadata=facts))
    return numbers
