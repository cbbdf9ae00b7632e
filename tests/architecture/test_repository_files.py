"""Files of the repository: their size, their names, and words that do not belong in them."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_LINES, MAX_TEST_LINES = 400, 400
VAGUE_STEM = re.compile(r"(^|_)(utils?|helpers?|common|base|misc)(_|$)")
# Put together here, so that this file does not hold what it looks for.
MACHINE_PATHS = re.compile("|".join(f"/{place}/" for place in ("work", "home", "Users", "tmp/w")))
TEXT_SUFFIXES = {
    ".py",
    ".md",
    ".toml",
    ".yml",
    ".yaml",
    ".json",
    ".html",
    ".css",
    ".js",
    ".sh",
    ".txt",
    "",
}


def tracked_paths() -> list[Path]:
    """Files that git tracks and that are there."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    paths = [ROOT / name for name in done.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def python_files() -> list[Path]:
    return [path for path in tracked_paths() if path.suffix == ".py"]


def as_lines(paths: list[str]) -> str:
    return "\n".join(paths)


def test_python_files_stay_below_line_limit():
    long = []
    for path in python_files():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        limit = MAX_TEST_LINES if "tests" in path.relative_to(ROOT).parts else MAX_LINES
        if lines > limit:
            long.append(f"{path.relative_to(ROOT)}: {lines} lines, {limit} at most")
    assert not long, as_lines(long)


def test_python_files_have_no_vague_name():
    vague = [str(p.relative_to(ROOT)) for p in python_files() if VAGUE_STEM.search(p.stem)]
    assert not vague, as_lines(vague)


@pytest.mark.parametrize("stem", ["utils", "helpers", "string_util", "base", "common_types"])
def test_vague_stem_matches_vague_names(stem):
    assert VAGUE_STEM.search(stem)


@pytest.mark.parametrize("stem", ["database", "baselines", "commonest", "utility_free"])
def test_vague_stem_ignores_similar_names(stem):
    assert not VAGUE_STEM.search(stem)


def test_modules_start_with_a_docstring():
    silent = []
    for path in python_files():
        relative = path.relative_to(ROOT)
        text = path.read_text(encoding="utf-8")
        if text and relative.parts[0] != "tests" and not text.startswith(('"""', 'r"""', "#!")):
            silent.append(str(relative))
    assert not silent, as_lines(silent)


def test_text_files_contain_no_machine_path():
    found = []
    for path in tracked_paths():
        if path.suffix in TEXT_SUFFIXES:
            lines = path.read_text(encoding="utf-8").splitlines()
            found += [
                f"{path.relative_to(ROOT)}:{at}: {line.strip()[:80]}"
                for at, line in enumerate(lines, start=1)
                if MACHINE_PATHS.search(line)
            ]
    assert not found, as_lines(found)
