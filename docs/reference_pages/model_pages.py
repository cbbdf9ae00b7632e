"""Reference pages of training: configuration, schema.toml, canonical log, artifact."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from docs.reference_pages.markdown import (
    code,
    field_comments,
    first_line,
    meaning,
    page,
    paragraph,
    table,
)
from export import graph_modules
from model.config.pipeline_config import PipelineConfig
from model.contract.artifact import manifest
from model.contract.schema.declared import DeclaredField, DeclaredSchema, FieldKind, FieldScope
from model.data import errors as data_errors
from model.data.log.log_info import LogInfo

CONFIG_TABLES = "Tables of the training configuration"
INTEGER_TENSORS = frozenset({"candidates", "user", "sessions", "start", "lists", "at", "stepped"})
BOOLEAN_TENSORS = frozenset(
    {"cand_valid", "slot_valid", "sess_valid", "editable", "movable", "rule_member", "rule_slots"}
)
LOG_COLUMNS = (
    ("request_id", "text", "distinct"),
    ("user_id", "text", "listed in users.parquet"),
    ("timestamp", "int64", "Unix milliseconds, years 1990 to 2100"),
    ("candidates", "list of text", "distinct item ids in upstream order, listed in items.parquet"),
    ("upstream_scores", "list of numbers", "one a candidate; null is not known, never 0"),
    ("shown", "list of text", "item ids by slot, each one of the candidates"),
    ("clicks", "list of 0 or 1", "one a shown item"),
    ("conversions", "list of 0 or 1", "one a shown item; null is not known"),
)
LOG_FILES = (
    ("`impressions/*.parquet`", "yes", "one row a request, in any order"),
    ("`items.parquet`", "yes", "`item_id`, one column a field of scope item, display columns"),
    ("`users.parquet`", "yes", "`user_id`, one column a field of scope user"),
    ("`schema.toml`", "yes", "the features: see [schema.toml](schema.md)"),
    ("`log.toml`", "no", "name, split and default list size: see below"),
    ("`truth.parquet`", "no", "`request_id`, `clicks`, `conversions` of every candidate"),
)


def configuration_page() -> str:
    """Every table and key of the training configuration."""
    blocks = []
    for name, kind in config_tables():
        rows = list(config_rows(kind, "config", f"{name}."))
        blocks += [
            f"## [{name}]",
            paragraph(first_line(kind)),
            table(["key", "type", "default", "meaning"], rows),
        ]
    return page(
        "Training configuration",
        "One TOML file for `relist train evaluator`, `relist train generator` and `relist "
        "benchmark`, given by `--config`. Every key has a default; an unknown table or key is an "
        "error. Presets are in `model/config/presets`; `nlgr.toml` is the published method.",
        *blocks,
    )


def config_tables() -> list[tuple[str, type]]:
    """Name and class of each table."""
    whole: Any = PipelineConfig  # a pydantic model or a dataclass
    if issubclass(whole, BaseModel):
        return [(n, _as_class(i.annotation)) for n, i in whole.model_fields.items()]
    return [(f.name, _as_class(f.default_factory)) for f in dataclasses.fields(whole)]


def _as_class(value: object) -> type:
    assert inspect.isclass(value)
    return value


def config_rows(
    kind: Any,  # noqa: ANN401 a dataclass or a pydantic model
    section: str,
    prefix: str = "",
) -> Iterator[tuple[str, str, str, str]]:
    """Key, type, default and meaning of each field of a dataclass or pydantic model."""
    comments = field_comments(kind)
    if issubclass(kind, BaseModel):
        for name, info in kind.model_fields.items():
            default = "required" if info.is_required() else code(_toml(info.default))
            text = meaning(section, prefix + name, info.description or comments.get(name))
            yield code(name), code(kind.__annotations__[name]), default, text
        return
    for item in dataclasses.fields(kind):
        text = meaning(section, prefix + item.name, comments[item.name])
        yield code(item.name), code(item.type), code(_toml(item.default)), text


def _toml(value: Any) -> str:  # noqa: ANN401 a default of any type
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def schema_page() -> str:
    """Every key of schema.toml."""
    example = """```toml
upstream = ["score", "rank"]

[[field]]
name = "price"
scope = "item"
kind = "numeric"
buckets = "quantile:16"

[display]
title = "title"
```"""
    return page(
        "schema.toml",
        "Declares the features of a log. A feature is one `[[field]]` entry; the code has no "
        "feature names. Fitted vocabularies and bucket edges are stored in the manifest.",
        example,
        "## Top level",
        table(["key", "type", "default", "meaning"], config_rows(DeclaredSchema, "schema")),
        "## [[field]]",
        table(["key", "type", "default", "meaning"], config_rows(DeclaredField, "schema")),
        "## Scopes",
        table(["scope", "meaning"], ((code(s.value), _SCOPES[s]) for s in FieldScope)),
        "## Kinds",
        table(["kind", "meaning"], ((code(k.value), _KINDS[k]) for k in FieldKind)),
    )


_SCOPES = {
    FieldScope.USER: "property of the user; a column of users.parquet",
    FieldScope.ITEM: "property of the item; a column of items.parquet",
    FieldScope.CANDIDATE: "property of an item in one request; a list column of the impressions",
    FieldScope.CONTEXT: "property of the request; a column of the impressions",
    FieldScope.SESSION: "feedback on a past item; reserved, not declared",
}
_KINDS = {
    FieldKind.ID: "identifier of an item or a user; reserved, not declared",
    FieldKind.CATEGORICAL: "one text value; values outside the vocabulary use `unknown`",
    FieldKind.NUMERIC: "a finite number, encoded by bucket",
    FieldKind.MULTI: "a list of text values; the mean of their embeddings",
}


def log_page() -> str:
    """Files, columns and error codes of a canonical log."""
    return page(
        "Canonical log",
        "The folder that training reads. `relist log check DIR` names the file, row, column and "
        "rule of the first row that breaks one. Rows are counted from 0. Times are Unix "
        "milliseconds. At most 500 candidates and 50 shown items a row, by default.",
        "## Files",
        table(["file", "required", "content"], LOG_FILES),
        "## Columns of the impressions",
        table(["column", "type", "rule"], ((code(n), t, r) for n, t, r in LOG_COLUMNS)),
        paragraph(
            "Beside them: one column for each field of scope context, and one list column for each "
            "field of scope candidate, aligned with `candidates`. A gap in a feature is null; NaN "
            "and infinity are errors. `upstream_scores` and `conversions` may be null as a whole."
        ),
        "## Keys of log.toml",
        table(["key", "type", "default", "meaning"], _log_info_rows()),
        "## Error codes",
        table(["code", "meaning"], ((code(e.code), first_line(e)) for e in log_errors())),
    )


def _log_info_rows() -> Iterator[tuple[str, str, str, str]]:
    for item in dataclasses.fields(LogInfo):
        yield code(item.name), code(item.type), code(_toml(item.default)), _LOG_INFO[item.name]


_LOG_INFO = {
    "name": "name of the log in reports",
    "split": "`time` cuts the whole log at two moments; `user` cuts each user's timeline",
    "shares": "shares of training, validation and test",
    "list_size": "default size of a served list; 0 takes the longest shown list",
    "simulated": "feedback was drawn from a model of users; reports say so",
    "is_simulated": "feedback was drawn from a model of users; reports say so",
}


def log_errors() -> list[type[data_errors.DataError]]:
    """Every error of a log and of an adapter, leaves only."""

    def leaves(kind: type[data_errors.DataError]) -> Iterator[type[data_errors.DataError]]:
        below = kind.__subclasses__()
        for sub in below:
            yield from leaves(sub)
        if not below:
            yield kind

    return list(leaves(data_errors.DataError))


def artifact_page() -> str:
    """Files, manifest keys, graphs and tensors of an artifact."""
    models = [m for m in vars(manifest).values() if _is_manifest_model(m)]
    blocks = []
    for model in models:
        rows = list(config_rows(model, "manifest", f"{model.__name__}."))
        blocks += [
            f"### {model.__name__}",
            paragraph(first_line(model)),
            table(["key", "type", "default", "meaning"], rows),
        ]
    return page(
        "Artifact and ONNX graphs",
        "A folder written by `relist export`. The service verifies checksums, schema hash and the "
        "golden batch before it serves. A file without a checksum is refused.",
        "## Files",
        table(["file", "content"], artifact_files()),
        "## Graphs",
        table(["graph", "inputs", "outputs"], graph_rows()),
        "## Tensors",
        paragraph(
            "Axes: B requests, N candidates, M slots, K generated lists, L scored lists, T edits, "
            "H past sessions, R rules, E members. Fc, Fu and Fs count columns of candidates, user "
            "and session items; Z and C are widths of the encoding. B, N, K, R, L, H are dynamic."
        ),
        table(["tensor", "shape", "type", "content"], tensor_rows()),
        "## Keys of manifest.json",
        *blocks,
    )


def _is_manifest_model(value: object) -> bool:
    root = manifest.ManifestModel
    return inspect.isclass(value) and issubclass(value, root) and value is not root


def artifact_files() -> list[tuple[str, str]]:
    """Files of an artifact folder."""
    return [
        (code(manifest.MANIFEST_FILE), "description of everything but weights: keys below"),
        (code("*.onnx"), "one file a graph: table below"),
        (code(manifest.EXTERNAL_WEIGHTS_FILE), "tables that graphs look up; mapped once a process"),
        (code(manifest.ITEM_TABLE_FILE), "item ids, encoded rows, raw numbers, display texts"),
        (
            code(manifest.GOLDEN_BATCH_FILE),
            "inputs, noise and PyTorch's results of golden requests",
        ),
    ]


def graph_rows() -> list[tuple[str, str, str]]:
    """Name, inputs and outputs of every graph."""
    generated: tuple[str, ...] = (*graph_modules.REQUEST_INPUTS, *graph_modules.EDIT_INPUTS)
    generated += graph_modules.RELEVANCE_INPUTS
    encoding = graph_modules.ENCODING_TENSORS
    refined = (encoding[0], "at", *graph_modules.REFINER_INPUTS)
    rules = graph_modules.RULE_INPUTS
    rows = (
        (manifest.GENERATOR_GRAPH, generated, ("lists", *encoding)),
        (manifest.GENERATOR_RULES_GRAPH, generated + rules, ("lists", *encoding)),
        (
            manifest.EVALUATOR_GRAPH,
            ("slot_valid", *encoding, "lists"),
            ("p_click", "p_conversion"),
        ),
        (manifest.REFINER_GRAPH, refined, ("stepped",)),
        (manifest.REFINER_RULES_GRAPH, refined + rules, ("stepped",)),
    )
    return [
        (code(name), ", ".join(map(code, taken)), ", ".join(map(code, made)))
        for name, taken, made in rows
    ]


def tensor_rows() -> list[tuple[str, str, str, str]]:
    """Shape, element type and content of every input and output."""
    axes = dict(graph_modules.TENSOR_AXES)
    axes |= {"p_click": ("E", "B", "L", "M"), "p_conversion": ("E", "B", "L", "M")}
    axes |= {"stepped": ("B", "M")}
    return [
        (code(name), code(f"[{', '.join(shape)}]"), _dtype(name), meaning("tensors", name, None))
        for name, shape in axes.items()
    ]


def _dtype(name: str) -> str:
    if name in INTEGER_TENSORS:
        return "int32"
    return "bool" if name in BOOLEAN_TENSORS else "float32"
