import math

import pytest

from model.training.early_stopping import EarlyStopping


@pytest.mark.parametrize(
    ("history", "epochs"),
    [([], 0), ([3.0], 0), ([3.0, 2.0], 0), ([3.0, 3.0], 1), ([2.0, 3.0, 1.0, 1.5, 4.0], 2)],
)
def test_early_stopping_counts_epochs_since_lowest(history: list[float], epochs: int):
    stopping = EarlyStopping(metric="loss", patience=1)

    assert stopping.epochs_without_improvement(history) == epochs
    assert stopping.should_stop(history) == (epochs >= 1)


def test_early_stopping_with_zero_patience_never_stops():
    assert not EarlyStopping(metric="loss", patience=0).should_stop([1.0] * 50)


def test_early_stopping_smooths_over_window():
    stopping = EarlyStopping(
        metric="ratio", patience=2, higher_is_better=True, window=3, min_improvement=0.01
    )

    # means of three: .5 .45 .6 .7 .705 .706; the last gain above .01 is at epoch 4
    history = [0.5, 0.4, 0.9, 0.8, 0.415, 0.903]
    assert stopping.epochs_without_improvement(history[:4]) == 0
    assert not stopping.should_stop(history[:5])
    assert stopping.should_stop(history)


def test_early_stopping_ignores_unknown_values():
    stopping = EarlyStopping(metric="ratio", patience=2, higher_is_better=True)

    assert not stopping.should_stop([math.nan] * 9)
    assert stopping.should_stop([0.5, math.nan, math.nan])
