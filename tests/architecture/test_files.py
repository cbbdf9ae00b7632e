"""Files of the repository: their size, their names, and words that do not belong in them."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST, LONGEST_TEST = 250, 400
VAGUE = re.compile(r"(^|_)(utils?|helpers?|common|base|misc)(_|$)")
# Put together here, so that this file does not hold what it looks for.
MACHINE_PATHS = re.compile("|".join(f"/{place}/" for place in ("work", "home", "Users", "tmp/w")))
TEXT = {".py", ".md", ".toml", ".yml", ".yaml", ".json", ".html", ".css", ".js", ".sh", ".txt", ""}


def tracked() -> list[Path]:
    """Files that git tracks and that are there."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    paths = [ROOT / name for name in done.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def python_files() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py"]


def told(paths: list[str]) -> str:
    return "\n".join(paths)


def test_no_file_is_longer_than_a_reader_holds_in_mind():
    long = []
    for path in python_files():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        limit = LONGEST_TEST if "tests" in path.relative_to(ROOT).parts else LONGEST
        if lines > limit:
            long.append(f"{path.relative_to(ROOT)}: {lines} lines, {limit} at most")
    assert not long, told(long)


def test_a_file_is_named_for_what_it_holds():
    vague = [str(p.relative_to(ROOT)) for p in python_files() if VAGUE.search(p.stem)]
    assert not vague, told(vague)


@pytest.mark.parametrize("stem", ["utils", "helpers", "string_util", "base", "common_types"])
def test_a_vague_name_is_seen(stem):
    assert VAGUE.search(stem)


@pytest.mark.parametrize("stem", ["database", "baselines", "commonest", "utility_free"])
def test_a_name_that_only_sounds_vague_is_let_through(stem):
    assert not VAGUE.search(stem)


def test_every_module_says_what_it_is_for():
    silent = []
    for path in python_files():
        relative = path.relative_to(ROOT)
        text = path.read_text(encoding="utf-8")
        if text and relative.parts[0] != "tests" and not text.startswith(('"""', "#!")):
            silent.append(str(relative))
    assert not silent, told(silent)


def test_nothing_names_a_place_on_the_machine_it_was_written_on():
    found = []
    for path in tracked():
        if path.suffix in TEXT:
            lines = path.read_text(encoding="utf-8").splitlines()
            found += [
                f"{path.relative_to(ROOT)}:{at}: {line.strip()[:80]}"
                for at, line in enumerate(lines, start=1)
                if MACHINE_PATHS.search(line)
            ]
    assert not found, told(found)
