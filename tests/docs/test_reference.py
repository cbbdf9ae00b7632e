"""Each generated page is current and has an entry for every part of the code that it describes."""

import dataclasses

import pytest
from prometheus_client import REGISTRY
from pydantic import BaseModel

from docs import generate_reference
from docs.reference_pages import command_page, model_pages, service_pages
from export import graph_modules
from model.contract.artifact import manifest
from model.contract.schema.declared import DeclaredField, DeclaredSchema
from model.contract.wire.response import DEGRADATION_REASONS
from model.data.adapters.dataset_list import DATASET_ADAPTERS
from service.api import errors as api_errors
from service.settings import PREFIX, Settings


def page(name: str) -> str:
    return (generate_reference.REFERENCE / name).read_text("utf-8")


def missing(name: str, expected: list[str]) -> list[str]:
    """Expected names without a table cell, a list entry or a heading of their own on a page."""
    starts = ("| `{}`", "- **`{}`**", "### {}\n", "## {}\n")
    text = "\n" + page(name)
    return [word for word in expected if not any("\n" + s.format(word) in text for s in starts)]


def keys_of(kind: type) -> list[str]:
    if issubclass(kind, BaseModel):
        return list(kind.model_fields)
    return [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(generate_reference.rendered()))
def test_committed_page_equals_generated_page(name):
    assert page(name) == generate_reference.rendered()[name], "run: make reference"


def test_settings_page_has_every_setting():
    expected = [PREFIX + name.upper() for name in Settings.model_fields]
    assert missing("settings.md", expected) == []


def test_errors_page_has_every_code():
    assert missing("errors.md", [api_errors.code_of(kind) for kind in api_errors.STATUS]) == []


def test_metrics_page_has_every_metric():
    service_pages.metrics_module()
    families = [family for family in REGISTRY.collect() if family.name.startswith("rerank_")]
    expected = [f.name + ("_total" if f.type == "counter" else "") for f in families]
    assert len(expected) > 20
    assert missing("metrics.md", expected) == []


def test_schema_page_has_every_key():
    assert missing("schema.md", [*keys_of(DeclaredSchema), *keys_of(DeclaredField)]) == []


@pytest.mark.parametrize(("table", "kind"), model_pages.config_tables())
def test_configuration_page_has_every_key(table, kind):
    section = page("configuration.md").partition(f"## [{table}]\n")[2].partition("\n## ")[0]
    assert [key for key in keys_of(kind) if f"| `{key}`" not in section] == []


def test_log_page_has_every_error():
    assert missing("log-format.md", [error.code for error in model_pages.log_errors()]) == []


def test_artifact_page_has_every_tensor_and_graph():
    graphs = [v for k, v in vars(manifest).items() if k.endswith("_GRAPH")]
    assert len(graphs) == 5
    assert missing("artifact.md", [*graph_modules.TENSOR_AXES, *graphs]) == []


def test_artifact_page_has_every_manifest_key():
    assert missing("artifact.md", keys_of(manifest.Manifest)) == []


def test_adapters_page_has_every_dataset_and_its_source():
    text = page("adapters.md")
    for name in DATASET_ADAPTERS:
        section = text.partition(f"## {name}\n")[2].partition("\n## ")[0]
        for part in ("- Source: https://", "- Terms: ", "- Request: ", "Clicks: ", "| field |"):
            assert part in section, f"{name}: {part}"


def test_http_page_has_every_degraded_value():
    assert missing("http-api.md", list(DEGRADATION_REASONS)) == []


def test_command_page_has_every_subcommand():
    names = [f"relist {point.name}" for point in command_page.registered_commands()]
    if command_page.command_page() is not None:
        names = [name for name, _, _ in command_page.subcommands()]
    names = [n for n in names if n not in {"relist log", "relist train"}]  # groups
    assert len(names) >= 7
    assert missing("command-line.md", names) == []


@pytest.mark.parametrize(
    "name", ["settings.md", "configuration.md", "schema.md", "http-api.md", "command-line.md"]
)
def test_reference_table_has_a_meaning_everywhere(name):
    empty = [line for line in page(name).splitlines() if line.endswith("|  |")]
    assert empty == [], "describe it in the code, or in docs/reference_pages/meanings.toml"
