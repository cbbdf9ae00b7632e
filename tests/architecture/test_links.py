"""Links of the documents lead to files that a clone has, not only this working tree."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def tracked() -> set[Path]:
    """Files that a clone has."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {ROOT / name for name in listed.stdout.split("\0") if name}


FILES = tracked()
DOCUMENTS = sorted(path for path in FILES if path.suffix == ".md")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_of_the_repository(document: Path):
    folders = {parent for path in FILES for parent in path.parents}
    links = LINK.findall(document.read_text(encoding="utf-8"))
    own = [link for link in links if not re.match(r"[a-z]+:", link)]

    missing = [link for link in own if (document.parent / link).resolve() not in FILES | folders]

    assert missing == []
