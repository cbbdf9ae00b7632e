"""No private attribute, private module or internal class of another library is used."""

import ast
from pathlib import Path

import pytest

from tests.architecture.test_repository_files import ROOT, python_files

# Subclasses of these break with a release of the library, without a word in its changelog.
INTERNAL_PREFIXES = ("uvicorn.protocols.", "starlette._", "redis._", "onnxruntime.capi.")
OWN = {"service", "model", "export", "loadtest", "docker", "tests"}
# Documented, whatever their names look like.
PUBLIC = {"os._exit", "__future__", "_typeshed", "argparse._SubParsersAction"}
# The load test's client uses its library's C parser, which has no public name.
KNOWN_USES = {"geventhttpclient._parser"}
NAMED_TUPLE = {"_replace", "_asdict", "_fields", "_make"}
SOURCES = [path for path in python_files() if "tests" not in path.relative_to(ROOT).parts]


def is_private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


class PrivateUses(ast.NodeVisitor):
    """Collects uses of private names that the module does not define itself."""

    def __init__(self, tree: ast.Module) -> None:
        self.found: list[str] = []
        self.imported: dict[str, str] = {}  # local name: its full name
        self.own = {
            name
            for node in ast.walk(tree)
            for name in (
                [node.name]
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                else [node.attr]
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
                else [node.target.id]
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
                else []
            )
        }
        self.visit(tree)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.imported[alias.asname or alias.name.partition(".")[0]] = alias.name
            self._check_module(alias.name, node.lineno)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        self._check_module(module, node.lineno)
        for alias in node.names:
            self.imported[alias.asname or alias.name] = f"{module}.{alias.name}"
            if is_private(alias.name):
                self._report(f"import of {module}.{alias.name}", node.lineno)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.generic_visit(node)
        if not is_private(node.attr) or node.attr in self.own | NAMED_TUPLE:
            return
        base = ast.unparse(node.value)
        if base not in {"self", "cls"} and f"{base}.{node.attr}" not in PUBLIC:
            self._report(f"{base}.{node.attr}", node.lineno)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.generic_visit(node)
        for base in node.bases:
            first, _, rest = ast.unparse(base).partition(".")
            full = self.imported.get(first, first) + ("." + rest if rest else "")
            if full.startswith(INTERNAL_PREFIXES):
                self._report(f"subclass of {full}", node.lineno)

    def _check_module(self, module: str, line: int) -> None:
        parts = module.split(".")
        if (
            parts[0] not in OWN
            and module not in PUBLIC | KNOWN_USES
            and any(map(is_private, parts))
        ):
            self._report(f"import of {module}", line)

    def _report(self, what: str, line: int) -> None:
        self.found.append(f"{line}: {what}")


def private_uses(source: str) -> list[str]:
    return PrivateUses(ast.parse(source)).found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_uses_no_private_name_of_a_library(path: Path):
    assert private_uses(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import redis\nredis.Redis()._pool",
        "from uvicorn._types import Scope",
        "import starlette._utils",
        "from uvicorn.server import _x",
        "from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol\n"
        "class Mine(HttpToolsProtocol):\n    pass",
        "import uvicorn\nclass Mine(uvicorn.protocols.http.h11_impl.H11Protocol):\n    pass",
        "session = open_session()\nsession._sess.run()",
    ],
)
def test_private_use_is_seen(source: str):
    assert private_uses(source)


@pytest.mark.parametrize(
    "source",
    [
        "import uvicorn\nclass Server(uvicorn.Server):\n    pass",
        "class A:\n    def _own(self): return self._own()\n    def f(self, other): other._own()",
        "import os\nos._exit(0)",
        "from __future__ import annotations",
        "import torch\ntorch.__version__",
    ],
)
def test_own_and_public_names_are_allowed(source: str):
    assert private_uses(source) == []
