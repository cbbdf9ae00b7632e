"""PromQL expressions shared by several panels. No dashboard, no Grafana."""

from __future__ import annotations

from docker.grafana.panels import RATE_INTERVAL, TARGET_SELECTOR

REQUEST_DURATION = "rerank_request_seconds"
ANSWERED_SELECTOR = 'outcome=~"ok|degraded"'


def counter_rate(metric: str, selector: str = "", by: str = "") -> str:
    """Rate of a counter, summed over processes."""
    group = f" by ({by})" if by else ""
    inside = f"{TARGET_SELECTOR}, {selector}" if selector else TARGET_SELECTOR
    return f"sum{group} (rate({metric}{{{inside}}}[{RATE_INTERVAL}]))"


def request_rate(selector: str = "", by: str = "") -> str:
    """Rate of rerank requests."""
    return counter_rate(f"{REQUEST_DURATION}_count", selector, by)


def rate_ratio(numerator: str, denominator: str) -> str:
    """One rate as a share of another one with the same labels, or without labels."""
    return f"{numerator} / {denominator}"


def grouped_rate_ratio(numerators: str, denominator: str) -> str:
    """Each of several rates as a share of a single one."""
    return f"{numerators} / on () group_left {denominator}"


def histogram_quantile(q: float, histogram: str, selector: str = "", by: str = "") -> str:
    """Quantile of a histogram over all processes."""
    group = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, {counter_rate(histogram + '_bucket', selector, group)})"


def histogram_mean(histogram: str, selector: str = "", by: str = "") -> str:
    """Mean of a histogram's observations."""
    total = counter_rate(histogram + "_sum", selector, by)
    return rate_ratio(total, counter_rate(histogram + "_count", selector, by))


def share_at_or_below(bound: str, histogram: str, selector: str = "", by: str = "") -> str:
    """Exact share of observations up to a bound that is a bucket; nothing is interpolated."""
    inside = f'{selector}, le="{bound}"' if selector else f'le="{bound}"'
    below = counter_rate(histogram + "_bucket", inside, by)
    return rate_ratio(below, counter_rate(histogram + "_count", selector, by))
