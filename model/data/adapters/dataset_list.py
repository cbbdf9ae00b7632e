"""The public data sets that `relist log convert` knows, and the conversion of any of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from model.data.adapters import (
    baidu_ultr,
    ebnerd,
    expedia,
    kuairand,
    mind,
    recflow,
    taobao_ad,
    trivago,
)
from model.data.adapters.item_counters import DAY_MS, HOUR_MS, ItemCounters
from model.data.adapters.log_builder import BuilderOptions, LogBuilder
from model.data.errors import DataConfigError
from model.data.log.log_writer import replace_log_dir

SCHEMA_DIR = Path(__file__).parent / "schemas"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetAdapter:
    """One data set.

    convert: reads the folder of the data set and fills a builder.
    counter_period_ms: period of the counters `shows_before` and `clicks_before`; None: none.
    """

    name: str
    convert: Callable[[Path, LogBuilder], None]
    counter_period_ms: int | None = None

    @property
    def title(self) -> str:
        """First line of the documentation of the adapter's module."""
        module = inspect.getmodule(self.convert)
        return (inspect.getdoc(module) or "").partition("\n")[0]


DATASET_ADAPTERS = {
    adapter.name: adapter
    for adapter in (
        DatasetAdapter(name="ebnerd", convert=ebnerd.convert_ebnerd, counter_period_ms=HOUR_MS),
        DatasetAdapter(name="trivago", convert=trivago.convert_trivago, counter_period_ms=DAY_MS),
        DatasetAdapter(name="expedia", convert=expedia.convert_expedia),
        DatasetAdapter(name="kuairand", convert=kuairand.convert_kuairand),
        DatasetAdapter(
            name="taobao_ad", convert=taobao_ad.convert_taobao_ad, counter_period_ms=DAY_MS
        ),
        DatasetAdapter(name="mind", convert=mind.convert_mind, counter_period_ms=HOUR_MS),
        DatasetAdapter(name="recflow", convert=recflow.convert_recflow),
        DatasetAdapter(name="baidu_ultr", convert=baidu_ultr.convert_baidu_ultr),
    )
}


def convert_dataset(name: str, source: Path, log_dir: Path, options: BuilderOptions) -> str:
    """Convert a folder of a public data set into a canonical log; returns a line for the user.

    Raises:
        SourceInvalid: a file has another layout; names file, line, column and rule.
        DataConfigError: an unknown data set, or a `log_dir` with other files than a log.
    """
    adapter = DATASET_ADAPTERS.get(name)
    if adapter is None:
        known = ", ".join(DATASET_ADAPTERS)
        raise DataConfigError(file="command line", key=name, rule=f"known data sets are {known}")
    period = adapter.counter_period_ms
    counters = None if period is None else ItemCounters(period)
    with replace_log_dir(log_dir) as fresh:
        builder = LogBuilder(fresh, SCHEMA_DIR / f"{name}.toml", options, counters)
        adapter.convert(source, builder)
    return f"{log_dir}: {builder.summary()}"


def list_datasets() -> str:
    """One line a data set: its name and the title of its adapter."""
    width = max(map(len, DATASET_ADAPTERS))
    return "\n".join(f"{name:{width}}  {a.title}" for name, a in DATASET_ADAPTERS.items())
