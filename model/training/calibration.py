"""How an evaluator's probabilities fit what users did with shown lists, and temperature scaling.

Guo et al., On Calibration of Modern Neural Networks (2017). Dropout, decay and the mean over
members make a net promise too little, a small log makes it promise too much. One factor of its
logits, from validation, mends that; the order of lists hardly changes.
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

CLICK_LOGIT_SCALE = "click_logit_scale"  # the factor, among a checkpoint's facts
MAX_LOGIT_SCALE = 2.0  # a larger factor would hide that something else is wrong
MAX_CALIBRATION_ROWS = 10_000  # lists that are asked for the factor, evenly spread
LOG_SCALE_TOLERANCE = 0.005  # of the factor's logarithm


def shown_list_metrics(net: torch.nn.Module, gatherer: BatchLoader, rows: Tensor) -> EpochMetrics:
    """AUC, GAUC, LogLoss, ECE of p_click on lists that were shown."""
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
    """(R, M) each: p_click, clicks, and whether there is such a slot."""
    p, batches = predict_shown_lists(net, gatherer, rows)
    clicks = torch.cat([batch.clicks for batch in batches])
    return p, clicks, torch.cat([batch.request.slot_valid for batch in batches])


def fit_click_logit_scale(net: Evaluator, gatherer: BatchLoader, rows: Tensor) -> float:
    """Multiply the net's click logits, in place, by the factor that lowers LogLoss most.

    Args:
        net: an evaluator, not in training.
        gatherer: of the log.
        rows: (R,) rows with shown lists that the net has not learned from.

    Returns:
        The factor, in [1 / MOST, MOST]: above 1 the net had promised too little of good items.
    """
    some = rows[torch.linspace(0, len(rows) - 1, min(MAX_CALIBRATION_ROWS, len(rows))).long()]
    reached = 0.0  # logarithm of what the net is sharpened by at present

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
    """Sharpen the evaluator of a checkpoint file to fit, once; returns its validation numbers.

    A checkpoint that says by what it was sharpened is left as it is.
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
