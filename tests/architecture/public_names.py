"""Public names of the product's Python files, read from their syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("service", "model", "export", "loadtest", "docker")


@dataclass(frozen=True, slots=True)
class PublicName:
    """One name and where it is declared."""

    kind: str  # module, class, function, method, parameter
    name: str
    path: Path
    top_level: bool

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}: {self.kind} {self.name}"


def product_files() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def public_names(paths: list[Path]) -> Iterator[PublicName]:
    """Names without a leading underscore."""
    for path in paths:
        if not path.stem.startswith("_"):
            yield PublicName("module", path.stem, path, top_level=True)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        yield from _declared(tree.body, path, inside_class=False)


def _declared(body: list[ast.stmt], path: Path, *, inside_class: bool) -> Iterator[PublicName]:
    for node in body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.name.startswith("_") and node.name != "__init__":
            continue
        if isinstance(node, ast.ClassDef):
            yield PublicName("class", node.name, path, top_level=not inside_class)
            yield from _declared(node.body, path, inside_class=True)
            continue
        if node.name != "__init__":
            kind = "method" if inside_class else "function"
            yield PublicName(kind, node.name, path, top_level=not inside_class)
        arguments = node.args
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            yield PublicName("parameter", argument.arg, path, top_level=False)
