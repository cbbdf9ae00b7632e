"""Early stopping by a smoothed validation metric. Knows no nets and no files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyStopping:
    """Stop once a validation metric has not improved for `patience` epochs.

    metric: key of the task's validation metrics.
    patience: epochs without improvement; 0 never stops.
    higher_is_better: direction of the metric.
    window: the metric is smoothed by the mean of so many epochs, the last one included.
    min_improvement: a smaller improvement of the smoothed metric does not count.
    """

    metric: str
    patience: int
    higher_is_better: bool = False
    window: int = 1
    min_improvement: float = 0.0

    def should_stop(self, history: Sequence[float]) -> bool:
        """Whether to stop after epochs with these values of the metric."""
        return 0 < self.patience <= self.epochs_without_improvement(history)

    def epochs_without_improvement(self, history: Sequence[float]) -> int:
        """Epochs since the best smoothed value; 0 while no value is known (NaN)."""
        sign = 1.0 if self.higher_is_better else -1.0
        best, best_epoch = -math.inf, len(history)
        for epoch in range(1, len(history) + 1):
            known = [v for v in history[max(0, epoch - self.window) : epoch] if not math.isnan(v)]
            if not known:
                continue
            value = sign * sum(known) / len(known)
            if value > best + self.min_improvement:
                best, best_epoch = value, epoch
        return len(history) - best_epoch
