"""Docstrings exist, and they and the comments are plain technical English."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("service", "model", "export", "loadtest", "docker", "docs")
MAX_SUMMARY_LENGTH = 100  # characters of the first line

# Words that make a thing act like a person, and names of pages and commands that are gone.
BANNED = re.compile(
    r"\b(who|whom|whoever|nobody|somebody|anybody|twins?|doors?|lessons?|pupils?|told|METHOD"
    r"|(LOG|RESULTS|PROFILE|DESIGN)\.md)\b|\brelist-(train|measure|compare|prepare|load|demo)\b"
    r"|\b(DESIGN|METHOD) section\b"
)
DOCUMENTED = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def source_files() -> list[Path]:
    """Python files of the product that git knows or would add, with at least one statement."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *PACKAGES],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    paths = [ROOT / name for name in listed if name.endswith(".py")]
    return [path for path in paths if path.exists() and path.read_text(encoding="utf-8").strip()]


def public_docstrings(tree: ast.Module) -> Iterator[tuple[str, str | None]]:
    """Name and docstring of a module, and of its public classes, functions and methods."""
    yield "module", ast.get_docstring(tree)
    pending: list[tuple[str, ast.AST]] = [("", tree)]
    while pending:
        prefix, parent = pending.pop()
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, DOCUMENTED) and not node.name.startswith("_"):
                yield prefix + node.name, ast.get_docstring(node)
                if isinstance(node, ast.ClassDef):
                    pending.append((f"{prefix}{node.name}.", node))


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Line and text of every docstring and comment."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, *DOCUMENTED)):
            docstring = ast.get_docstring(node)
            if docstring:
                yield getattr(node, "lineno", 1), docstring
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


@pytest.mark.parametrize("path", source_files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_docstrings_are_present_and_plain(path):
    text = path.read_text(encoding="utf-8")
    problems = []
    for name, docstring in public_docstrings(ast.parse(text)):
        if not docstring:
            problems.append(f"{name}: no docstring")
        elif len(docstring.splitlines()[0]) > MAX_SUMMARY_LENGTH:
            problems.append(f"{name}: first line longer than {MAX_SUMMARY_LENGTH} characters")
    for line, words in prose(text):
        problems += [f"line {line}: {found.group(0)!r}" for found in BANNED.finditer(words)]

    assert problems == []


def test_banned_words_are_found_in_docstrings_and_comments():
    text = '"""Serves whoever asks."""\nx = 1  # see METHOD section 8\n'

    found = [match.group(0) for _, words in prose(text) for match in BANNED.finditer(words)]

    assert found == ["whoever", "METHOD"]
