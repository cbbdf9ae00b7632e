"""Expressions that several panels are made of. No dashboard, no Grafana."""

from __future__ import annotations

from docker.grafana.panels import EVERY, OURS

REQUESTS = "rerank_request_seconds"
ANSWERED = 'outcome=~"ok|degraded"'


def per_second(metric: str, matching: str = "", by: str = "") -> str:
    """Rate of a counter, summed over processes."""
    group = f" by ({by})" if by else ""
    inside = f"{OURS}, {matching}" if matching else OURS
    return f"sum{group} (rate({metric}{{{inside}}}[{EVERY}]))"


def requests(matching: str = "", by: str = "") -> str:
    """Rate of rerank requests."""
    return per_second(f"{REQUESTS}_count", matching, by)


def share(part: str, whole: str) -> str:
    """One rate as a share of another one with the same labels, or with none."""
    return f"{part} / {whole}"


def shares(parts: str, whole: str) -> str:
    """Each of several rates as a share of a single one."""
    return f"{parts} / on () group_left {whole}"


def quantile(q: float, histogram: str, matching: str = "", by: str = "") -> str:
    """Quantile of a histogram over all processes."""
    group = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, {per_second(histogram + '_bucket', matching, group)})"


def mean(histogram: str, matching: str = "", by: str = "") -> str:
    """Mean of what a histogram has seen."""
    total = per_second(histogram + "_sum", matching, by)
    return share(total, per_second(histogram + "_count", matching, by))


def at_most(bound: str, histogram: str, matching: str = "", by: str = "") -> str:
    """Share of the observations up to a bound that is a bucket: exact, nothing is interpolated."""
    inside = f'{matching}, le="{bound}"' if matching else f'le="{bound}"'
    below = per_second(histogram + "_bucket", inside, by)
    return share(below, per_second(histogram + "_count", matching, by))
