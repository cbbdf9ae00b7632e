"""Offline metrics of predictions and rankings. Arrays in, numbers out; no nets, no files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

FloatArray = NDArray[np.floating[Any]]
BoolArray = NDArray[np.bool_]


def auc(p: FloatArray, label: NDArray[Any]) -> float:
    """Area under the ROC curve over all slots; NaN when only one label occurs."""
    if len(np.unique(label)) < 2:
        return float("nan")
    return float(roc_auc_score(label, p))


def gauc(p: FloatArray, label: NDArray[Any], valid: BoolArray) -> float:
    """AUC inside each list, averaged over lists that hold both labels, weighted by valid slots.

    Args:
        p, label: (R, M); valid: (R, M) bool.
    """
    positive, negative = valid & (label > 0), valid & (label <= 0)
    pairs = positive[:, :, None] & negative[:, None, :]
    wins = (p[:, :, None] > p[:, None, :]) + 0.5 * (p[:, :, None] == p[:, None, :])
    count = pairs.sum(axis=(1, 2))
    has = count > 0
    if not has.any():
        return float("nan")
    each = (wins * pairs).sum(axis=(1, 2))[has] / count[has]
    return float(np.average(each, weights=valid.sum(axis=1)[has]))


def log_loss(p: FloatArray, label: NDArray[Any]) -> float:
    """Mean binary cross-entropy in nats."""
    p = np.clip(p.astype(np.float64), 1e-7, 1 - 1e-7)
    return float(-np.mean(np.where(label > 0, np.log(p), np.log1p(-p))))


def ece(p: FloatArray, label: NDArray[Any], bins: int = 15) -> float:
    """Expected calibration error over equal-width bins of p."""
    place = np.minimum((p * bins).astype(np.int64), bins - 1)
    off = np.bincount(place, weights=p - (label > 0), minlength=bins)
    return float(np.abs(off).sum() / len(p))


def ece_under_perfect_calibration(
    p: FloatArray, rng: np.random.Generator, bins: int = 15, draws: int = 20
) -> float:
    """ECE of perfectly calibrated predictions on as many slots: labels are drawn from p."""
    return float(np.mean([ece(p, rng.random(len(p)) < p, bins) for _ in range(draws)]))


def dcg(gains: FloatArray, k: int) -> FloatArray:
    """Discounted cumulative gain of the first k positions: (R, n) gains by position -> (R,)."""
    top = gains[:, :k]
    return (top / np.log2(np.arange(2, top.shape[1] + 2))).sum(axis=1)


def ndcg(score: FloatArray, label: FloatArray, valid: BoolArray, k: int) -> FloatArray:
    """NDCG@k of ranking each row by score; NaN for a row without a positive label.

    Args:
        score, label: (R, n); valid: (R, n) bool. Ties keep the order of the columns.
    """
    order = np.argsort(np.where(valid, -score, np.inf), axis=1, kind="stable")
    gain = np.where(valid, label, 0.0)
    best = dcg(-np.sort(-gain, axis=1), k)
    got = dcg(np.take_along_axis(gain, order, axis=1), k)
    return np.where(best > 0, got / np.where(best > 0, best, 1.0), np.nan)


def hit_threshold(size: int, share: float) -> int:
    """Number of lists among the best `share` of a space: ceil(share * size)."""
    return int(np.ceil(share * size - 1e-9))


def rank_in_space(space: FloatArray, reward: FloatArray) -> NDArray[np.int64]:
    """Rank of a list's reward among all lists of its space; ties count as the worse rank.

    Args:
        space: (R, S) rewards of every list.
        reward: (R,) reward of the list in question (one of S).

    Returns:
        (R,) ranks, 1 is best.
    """
    return (space >= reward[:, None]).sum(axis=1)


def value_ratio(reward: FloatArray, input_reward: FloatArray, best_reward: FloatArray) -> float:
    """Sum of gains over the input list, divided by the sum of the best lists' gains.

    A ratio of sums: requests where the input list is already the best add 0 to both.
    """
    room = float((best_reward - input_reward).sum())
    return float((reward - input_reward).sum()) / room if room > 0 else float("nan")


def bootstrap_interval(
    statistic: Callable[[NDArray[np.intp]], float],
    groups: NDArray[Any],
    rng: np.random.Generator,
    *,
    draws: int = 1000,
) -> tuple[float, float]:
    """95 % interval of a statistic, resampling whole groups (users) with replacement.

    Args:
        statistic: maps row numbers to the statistic.
        groups: (R,) group of each row.
        rng: source of the resampling.
        draws: number of resamples.
    """
    _, place = np.unique(groups, return_inverse=True)
    order = np.argsort(place, kind="stable")
    rows = np.split(order, np.flatnonzero(np.diff(place[order])) + 1)
    values = []
    for _ in range(draws):
        picked = rng.integers(len(rows), size=len(rows))
        values.append(statistic(np.concatenate([rows[i] for i in picked])))
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def label_metrics_at_k(
    shown: FloatArray, label: FloatArray, valid: BoolArray, k: int
) -> dict[str, FloatArray]:
    """Precision@k, F1@k, AP@k and NDCG@k of lists, by the labels of all candidates.

    F1 uses recall, AP averages over min(k, relevant), NDCG has gain 1 and the ideal order of all
    candidates. Without a relevant candidate all but precision are NaN.

    Args:
        shown: (R, M) labels 0/1 of the list, by slot; M >= k unless the list is shorter (0 there).
        label: (R, N) labels 0/1 of the candidates.
        valid: (R, N) bool, True for a real candidate.
        k: slots that count.

    Returns:
        name -> (R,).
    """
    relevant = np.where(valid, label, 0.0).sum(axis=1)
    found = shown[:, :k]
    hits = found.sum(axis=1)
    some = relevant > 0
    precision = hits / k
    recall = np.divide(hits, relevant, out=np.zeros_like(hits), where=some)
    both = precision + recall
    f1 = np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0)
    so_far = np.cumsum(found, axis=1) / np.arange(1, found.shape[1] + 1)
    ideal = np.minimum(relevant, k)
    ap = np.divide((so_far * found).sum(axis=1), ideal, out=np.zeros_like(hits), where=some)
    best = dcg((np.arange(k) < ideal[:, None]).astype(np.float64), k)
    gained = np.divide(dcg(found, k), best, out=np.zeros_like(hits), where=some)
    return {
        f"precision@{k}": precision,
        f"f1@{k}": np.where(some, f1, np.nan),
        f"map@{k}": np.where(some, ap, np.nan),
        f"ndcg@{k}": np.where(some, gained, np.nan),
    }


def mean_ratio_interval(
    pairs: Sequence[tuple[FloatArray, FloatArray]], groups: NDArray[Any], *, draws: int = 1000
) -> tuple[list[float], float, float]:
    """Mean of ratios of sums, one per pair, and its 95 % interval over resampled groups (users).

    Args:
        pairs: numerator and denominator, (R,) each; one pair per seed, with the same rows.
        groups: (R,) group of each row; whole groups are resampled, the same ones for all pairs.
        draws: number of resamples.
    """
    _, place = np.unique(groups, return_inverse=True)
    size = int(place.max()) + 1
    picked = np.random.default_rng(0).multinomial(size, np.full(size, 1.0 / size), size=draws)
    each, resampled = [], []
    with np.errstate(invalid="ignore", divide="ignore"):
        for top, bottom in pairs:
            each.append(float(np.sum(top) / np.sum(bottom)))
            sums = [np.bincount(place, weights=part, minlength=size) for part in (top, bottom)]
            resampled.append((picked @ sums[0]) / (picked @ sums[1]))
    means = np.mean(resampled, axis=0)
    if np.isnan(means).all():
        return each, float("nan"), float("nan")
    low, high = np.nanpercentile(means, [2.5, 97.5])
    return each, float(low), float(high)
