"""Form of the documentation: line lengths, table widths, and that the site builds strictly."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
WRITTEN_BY_PROGRAMS = DOCS / "benchmarks"  # reports of runs, kept as they were written
PAGES = sorted(
    path
    for path in (*DOCS.rglob("*.md"), *ROOT.glob("*.md"))
    if WRITTEN_BY_PROGRAMS not in path.parents
)
MAX_LINE, MAX_COLUMNS = 160, 6


def test_documentation_has_pages():
    assert len(PAGES) > 100


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_page_lines_and_tables_stay_in_bounds(path: Path):
    lines = path.read_text("utf-8").splitlines()
    long = [number for number, line in enumerate(lines, 1) if len(line) > MAX_LINE]
    wide = [
        number
        for number, line in enumerate(lines, 1)
        if line.startswith("|") and len(re.findall(r"(?<!\\)\|", line)) > MAX_COLUMNS + 1
    ]
    assert (long, wide) == ([], [])


def test_readme_has_at_most_sixty_lines():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 60


@pytest.mark.slow  # builds the whole site
def test_site_builds_strictly(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "reference" / "settings" / "index.html").exists()
