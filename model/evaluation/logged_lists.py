"""Prediction metrics of an evaluator and of simple orders on logged lists of a later part."""

from __future__ import annotations

import numpy as np
import torch

from model.checkpoint import Checkpoint
from model.data.tables.batches import BatchLoader
from model.data.tables.item_popularity import ItemCounts
from model.data.tables.log_tables import LogTables
from model.data.tables.split import TEST
from model.metrics import auc, ece, ece_under_perfect_calibration, gauc, log_loss, ndcg
from model.search.scorer import predict_shown_lists

MetricValues = dict[str, float]


def evaluate_on_logged_lists(
    checkpoint: Checkpoint, tables: LogTables, part: int = TEST
) -> dict[str, MetricValues]:
    """Metrics of the orders `evaluator`, `popularity` and `upstream`.

    All orders have `auc`, `gauc`, `ndcg@5` and `ndcg@10`. The evaluator also has `logloss` (nats a
    slot), `ece`, `ece_by_chance` and `slots` (count). `popularity` is the smoothed click share in
    the training part, `upstream` the order in which the items were shown.
    """
    rows = tables.part_rows(part)
    p_click, _ = predict_shown_lists(
        checkpoint.load_evaluator(), BatchLoader(tables), torch.from_numpy(rows)
    )
    clicks = tables.clicks[rows].astype(np.float64)
    valid = np.arange(tables.slots) < tables.shown_count[rows, None]
    items = np.take_along_axis(tables.candidates[rows], tables.shown[rows], axis=1)
    slots = np.broadcast_to(-np.arange(tables.slots, dtype=np.float64), clicks.shape)
    orders = {
        "evaluator": p_click.numpy().astype(np.float64),
        "popularity": ItemCounts.from_tables(tables).smoothed_click_rate()[
            tables.items.rows_with_default[items][..., 0]
        ],
        "upstream": slots,
    }
    out = {}
    for name, score in orders.items():
        out[name] = {
            "auc": auc(score[valid], clicks[valid]),
            "gauc": gauc(score, clicks, valid),
            "ndcg@5": float(np.nanmean(ndcg(score, clicks, valid, 5))),
            "ndcg@10": float(np.nanmean(ndcg(score, clicks, valid, 10))),
        }
    p, label = orders["evaluator"][valid], clicks[valid]
    rng = np.random.default_rng(0)
    out["evaluator"] |= {
        "logloss": log_loss(p, label),
        "ece": ece(p, label),
        "ece_by_chance": ece_under_perfect_calibration(p, rng),
        "slots": float(valid.sum()),
    }
    return out
