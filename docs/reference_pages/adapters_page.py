"""Reference page of the public data sets, from the docstring and the schema of each adapter."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

from docs.reference_pages.markdown import code, page, paragraph, table
from model.contract.schema.declared import read_schema
from model.data.adapters.dataset_list import DATASET_ADAPTERS, SCHEMA_DIR, DatasetAdapter

INTRODUCTION = """
`relist log convert DATASET SOURCE LOG_DIR` turns a folder of a public data set into a
[canonical log](log-format.md). Nothing is downloaded: SOURCE is your own copy, under the terms
of its publisher.
"""
NOTES = (
    "`--max-requests N` keeps a sample of whole users with at most N requests, drawn by `--seed`; "
    "counters still cover the whole source. Requests longer than `--max-candidates` (500) or "
    "`--max-shown` (50) are dropped; with other limits, give them to `relist log check` too.",
    "Files are read in batches and written in parts. Memory grows with the distinct ids, the "
    "sample and the counters. Where the rows of a request lie apart, they are grouped through "
    "temporary files beside LOG_DIR, about as large as the source.",
    "The last line counts the requests read, written and dropped by reason, and what else was "
    "left out. A categorical or multi field without a value in the first half of the log is left "
    "out of schema.toml. A file with another layout is an error that names file, line and column.",
    "Most public logs hold only the order shown. Upstream's order is then the order shown, and "
    "training cannot tell the effect of a place from the relevance that upstream knew. The entry "
    "of each data set says which order is known.",
    "The layouts come from the pages that each entry names. They were tested on made-up files, "
    "not on the data sets themselves.",
)
_LABEL = re.compile(r"(?:^|(?<=[.)] )|(?<=\n))(Source|Terms|Files?)(?=[:,])")


def adapters_page() -> str:
    """Every adapter: location of the data, derived values, and fields."""
    blocks = [paragraph(note) for note in NOTES]
    for adapter in DATASET_ADAPTERS.values():
        blocks += adapter_blocks(adapter)
    return page("Public data sets", INTRODUCTION, *blocks)


def adapter_blocks(adapter: DatasetAdapter) -> Iterator[str]:
    """Heading, text and fields of one adapter."""
    title, _, rest = (inspect.getdoc(inspect.getmodule(adapter.convert)) or "").partition("\n\n")
    head, _, entries = rest.partition("\n\n")
    yield f"## {adapter.name}"
    yield paragraph(title)
    yield "\n".join(f"- {part}" for part in labeled_parts(head))
    yield entries.replace("\x01", r"\x01")
    schema = read_schema(SCHEMA_DIR / f"{adapter.name}.toml")
    rows = [(code(f.name), str(f.scope), str(f.kind)) for f in schema.field]
    yield table(["field", "scope", "kind"], rows)


def labeled_parts(head: str) -> list[str]:
    """The parts of the first paragraph that begin with Source, Terms or Files, one line each."""
    starts = [match.start() for match in _LABEL.finditer(head)]
    ends = [*starts[1:], len(head)]
    parts = [head[start:end] for start, end in zip(starts, ends, strict=True)]
    return [paragraph(part).replace("\n", "\n  ") for part in parts]
