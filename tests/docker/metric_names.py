"""Which series the service shows, and which ones a PromQL expression reads."""

import re
from functools import cache

from prometheus_client import REGISTRY

from service.telemetry import service_metrics

assert service_metrics  # importing it declares everything

# What Prometheus itself adds to every target.
_SCRAPE = {"up", "scrape_duration_seconds"}
_WORD = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LANGUAGE = {
    *("sum", "avg", "min", "max", "count", "topk", "rate", "increase", "changes", "abs", "absent"),
    *("time", "by", "on", "ignoring", "group_left", "offset", "and", "or", "unless", "vector"),
    *("histogram_quantile", "avg_over_time", "max_over_time", "clamp_min", "bool", "without"),
}


@cache
def exposed_series() -> set[str]:
    """Names of all series of a served process."""
    names = set(_SCRAPE)
    for family in REGISTRY.collect():
        names |= {sample.name for sample in family.samples}
        if family.type == "histogram":
            names |= {f"{family.name}{end}" for end in ("_bucket", "_count", "_sum")}
        else:
            names.add(family.name + ("_total" if family.type == "counter" else ""))
    return names


def series_in_expression(expression: str) -> set[str]:
    """Names of series in an expression, without its labels, functions, windows and variables."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\b(by|on|ignoring|without|group_left)\s*\([^)]*\)", "", bare)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b\d[\w.]*", "", bare)
    return set(_WORD.findall(bare)) - _LANGUAGE
