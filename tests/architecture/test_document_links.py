"""Links of the documents lead to files that a clone has, not only this working tree."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def files_of_clone() -> set[Path]:
    """Files that a clone has."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {ROOT / name for name in listed.stdout.split("\0") if name}


CLONE_FILES = files_of_clone()
DOCUMENTS = sorted(path for path in CLONE_FILES if path.suffix == ".md")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_document_links_resolve_to_tracked_files(document: Path):
    folders = {parent for path in CLONE_FILES for parent in path.parents}
    links = LINK.findall(document.read_text(encoding="utf-8"))
    own = [link for link in links if not re.match(r"[a-z]+:", link)]

    missing = [
        link for link in own if (document.parent / link).resolve() not in CLONE_FILES | folders
    ]

    assert missing == []
