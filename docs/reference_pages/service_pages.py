"""Reference pages of the service: HTTP API, error codes, settings, metrics, Redis."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from docs.reference_pages.markdown import (
    cell,
    code,
    first_line,
    meaning,
    page,
    paragraph,
    source_tree,
    table,
)
from model.contract.store import user_record, user_stream
from model.contract.wire.request import RerankRequestBody
from model.contract.wire.response import DEGRADATION_REASONS, RerankResponse
from service.api import errors as api_errors
from service.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
API_SOURCES = ROOT / "service" / "api"
ALERT_RULES = ROOT / "docker" / "prometheus" / "alerts.yml"
DASHBOARDS = ROOT / "docker" / "grafana" / "dashboards"
DEGRADED_TEXT = {
    "user_features": "The store was late, down or unreadable; default features were used.",
    "fewer_lists": "The budget held fewer lists, or fewer refinement steps, than asked for.",
    "input_order": "No list was scored in time: the input list, rules applied; rewards are null.",
    "explanation": "`explain` was asked for and did not fit into the budget.",
}


def http_api_page() -> str:
    """Routes, request body and response body."""
    reasons = [(code(reason), DEGRADED_TEXT[reason]) for reason in DEGRADATION_REASONS]
    return page(
        "HTTP API",
        "Every response is JSON unless stated. Errors have one shape: see "
        "[error codes](errors.md). A running service serves its OpenAPI document at "
        "`/openapi.json` and `/docs`.",
        "## Routes",
        table(["route", "what it does"], routes()),
        "## Request body of POST /rerank",
        *_model_tables(RerankRequestBody),
        "## Response body of POST /rerank",
        *_model_tables(RerankResponse),
        "## Values of `degraded`",
        paragraph(
            "The service answers with status 200 and names what the answer went without. The same "
            "request, seed, features and artifact give the same answer while the list is empty."
        ),
        table(["value", "meaning"], reasons),
    )


def routes() -> list[tuple[str, str]]:
    """Method and path of each route of the API, and its description."""
    found = {"`POST /rerank`": "Return the best list of the offered candidates."}
    for path in sorted(API_SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef):
                for route in _decorated_routes(node):
                    text = (ast.get_docstring(node) or "").split("\n\n")[0]
                    found.setdefault(route, " ".join(text.split()))
    return sorted(found.items())


def _decorated_routes(node: ast.AsyncFunctionDef | ast.FunctionDef) -> Iterator[str]:
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Attribute):
            method, given = decorator.func.attr, decorator.args[:1]
            literal = given and isinstance(given[0], ast.Constant)
            if method in {"get", "post"} and literal:
                yield f"`{method.upper()} {given[0].value}`"  # type: ignore[attr-defined]


def _model_tables(root: type[BaseModel]) -> list[str]:
    """A table of the model's fields, and one of each model that a field holds."""
    blocks = []
    for model in _nested_models(root):
        rows = [
            (
                code(name),
                code(_type_text(info.annotation)),
                _default(info),
                meaning("http", f"{model.__name__}.{name}", info.description),
            )
            for name, info in model.model_fields.items()
        ]
        blocks += [f"### {model.__name__}", table(["field", "type", "default", "meaning"], rows)]
    return blocks


def _nested_models(root: type[BaseModel]) -> list[type[BaseModel]]:
    found, queue = [root], [root]
    while queue:
        for info in queue.pop(0).model_fields.values():
            for model in _models_in(info.annotation):
                if model not in found:
                    found.append(model)
                    queue.append(model)
    return found


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and not get_args(annotation):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _type_text(annotation: object) -> str:
    """The annotation without module names and validators."""
    if annotation is None or annotation is type(None):
        return "null"
    arguments = get_args(annotation)
    if not arguments:
        return getattr(annotation, "__name__", str(annotation))
    name = getattr(annotation, "__name__", "")
    if hasattr(annotation, "__metadata__"):
        return _type_text(arguments[0])
    if name == "Literal":
        return " or ".join(map(json.dumps, arguments))
    if name in {"list", "dict", "tuple"}:
        inner = [_type_text(argument) for argument in arguments if argument is not Ellipsis]
        return f"{name}[{', '.join(inner)}]"
    return " or ".join(dict.fromkeys(map(_type_text, arguments)))


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    return code(json.dumps(value, default=str))


def errors_page() -> str:
    """Every error code with its HTTP status."""
    rows = [
        (code(api_errors.code_of(kind)), str(int(status)), first_line(kind))
        for kind, status in sorted(api_errors.STATUS.items(), key=lambda item: int(item[1]))
    ]
    return page(
        "Error codes",
        'An error response is `{"error": {"code", "message", "details"}}`, the framework\'s '
        "errors included. Codes are stable. 503 is sent only without a verified artifact or while "
        "the process shuts down. 429 carries `Retry-After`.",
        table(["code", "status", "meaning"], rows),
    )


def settings_page() -> str:
    """Every environment variable of the service."""
    rows = [
        (
            code(PREFIX + name.upper()),
            code(_setting_type(info)),
            "required" if info.is_required() else code(_plain_default(info.default)),
            meaning("settings", name, info.description),
        )
        for name, info in Settings.model_fields.items()
    ]
    return page(
        "Settings of the service",
        "Environment variables, read once at start. A `RERANK_` variable that is not listed stops "
        "the start with exit status 2. Units are part of the name: `_ms`, `_s`, `_bytes`.",
        table(["variable", "type", "default", "meaning"], rows),
    )


def _setting_type(info: FieldInfo) -> str:
    """Type and bounds."""
    text = _type_text(info.annotation).replace("SecretStr", "secret").replace(" or null", "")
    for bound in info.metadata:
        for name, sign in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<")):
            if getattr(bound, name, None) is not None:
                text += f" {sign} {getattr(bound, name)}"
    return text


def _plain_default(value: object) -> str:
    secret = getattr(value, "get_secret_value", None)
    shown = secret() if secret else value
    if isinstance(shown, bool | None):
        return {True: "true", False: "false", None: "unset"}[shown]
    return "[]" if shown == () else str(shown)


def metrics_module() -> ModuleType:
    """The module that declares every metric."""
    try:
        return importlib.import_module("service.telemetry.service_metrics")
    except ModuleNotFoundError:
        return importlib.import_module("service.telemetry.metrics")


def metrics_page() -> str:
    """Every metric with labels, the panels that show it and the alerts that read it."""
    module = metrics_module()
    panels, alerts = _panel_expressions(), _alert_expressions()
    blocks = []
    for name, kind, text, labels in declared_metrics(module):
        series = re.compile(rf"\b{name}(_bucket|_sum|_count)?\b")
        shown = [title for title, expression in panels if series.search(expression)]
        read = [alert for alert, expression in alerts if series.search(expression)]
        facts = [kind.capitalize(), f"labels {', '.join(map(code, labels))}" if labels else ""]
        blocks += [
            f"### {name}",
            paragraph("; ".join(filter(None, facts)) + f". {text}."),
            paragraph("Panels: " + (", ".join(dict.fromkeys(shown)) or "none") + "."),
            paragraph("Alerts: " + (", ".join(read) or "none") + "."),
        ]
    return page(
        "Metrics",
        "`GET /metrics` serves the Prometheus text format. A histogram has `_bucket`, `_sum` and "
        "`_count` series. Labels come from closed sets, listed below; no id is a label. Alerts are "
        "explained in the [runbook](../how-to/runbook.md).",
        "## Label values",
        table(["set", "values"], _label_sets(module)),
        "## Metrics by name",
        *blocks,
    )


def declared_metrics(module: ModuleType) -> list[tuple[str, str, str, list[str]]]:
    """Name, type, documentation and labels of each metric that the module constructs."""
    found = []
    for node in source_tree(module).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            call = node.value
            constructor = call.func.id if isinstance(call.func, ast.Name) else ""
            kind = next((k for k in ("Counter", "Gauge", "Histogram") if k in constructor), "")
            if kind and len(call.args) >= 2:
                name, text = ast.literal_eval(call.args[0]), ast.literal_eval(call.args[1])
                found.append((name, kind.lower(), text, _label_names(call)))
    return found


def _label_names(call: ast.Call) -> list[str]:
    given = call.args[2] if len(call.args) > 2 else None
    for keyword in call.keywords:
        if keyword.arg == "labelnames":
            given = keyword.value
    return list(ast.literal_eval(given)) if given is not None else []


def _label_sets(module: ModuleType) -> list[tuple[str, str]]:
    return [
        (code(name), ", ".join(map(code, get_args(value))))
        for name, value in vars(module).items()
        if get_origin(value) is Literal
    ]


def _panel_expressions() -> list[tuple[str, str]]:
    """Dashboard and title of every panel, and all its expressions."""
    found = []
    for path in sorted(DASHBOARDS.glob("*.json")):
        document = json.loads(path.read_text("utf-8"))
        for panel in _panels(document):
            expressions = " ".join(str(t.get("expr", "")) for t in panel.get("targets", []))
            board = str(document["title"]).removeprefix("Relist / ")
            found.append((f"{board} / {panel.get('title', '')}", expressions))
    return found


def _panels(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in document.get("panels", []):
        yield panel
        yield from _panels(panel)


def _alert_expressions() -> list[tuple[str, str]]:
    """Every alert with its expression; recorded series are replaced by what they read."""
    groups = yaml.safe_load(ALERT_RULES.read_text("utf-8"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    recorded = {rule["record"]: rule["expr"] for rule in rules if "record" in rule}
    found = []
    for rule in rules:
        if "alert" in rule:
            expression = rule["expr"]
            expression += " ".join(text for name, text in recorded.items() if name in expression)
            found.append((rule["alert"], expression))
    return found


def redis_page() -> str:
    """Keys of the store and the bytes of each value."""
    prefix, version = "{prefix}", "{version}"
    keys = [
        (code(user_record.user_redis_key(prefix, "{user_id}")), "string", "record of one user"),
        (
            code(user_record.item_table_version_redis_key(prefix)),
            "string",
            "name of the current item table: `{schema_hash}.{content_hash}`",
        ),
        (
            code(user_record.item_table_redis_key(prefix, version)),
            "hash",
            "item id to encoded row, little-endian int32",
        ),
    ]
    return page(
        "Redis keys and bytes",
        "One GET a request reads one user. The item table is read in the background every "
        "`RERANK_ITEMS_REFRESH_S` seconds. `{prefix}` is `RERANK_REDIS_PREFIX`. All numbers are "
        "little-endian.",
        "## Keys",
        table(["key", "type", "value"], [tuple(map(cell, row)) for row in keys]),
        "## Bytes of a user record",
        _layout(user_record),
        "## Bytes of `users.bin`, the input of `relist load`",
        _layout(user_stream),
    )


def _layout(module: ModuleType) -> str:
    """The indented byte table of a module's docstring as a code block."""
    lines = (inspect.getdoc(module) or "").splitlines()
    rows = [line for line in lines if line.startswith("    ")]
    tail = [line for line in lines if line.startswith("then ")]
    return "\n".join(["```text", *(row[4:] for row in rows), *tail, "```"])
