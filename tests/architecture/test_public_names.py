"""Public names use the field's terms, and no name is declared for two things."""

import re
from collections import defaultdict
from pathlib import Path

import pytest

from tests.architecture.public_names import ROOT, PublicName, product_files, public_names

BANNED_WORDS = frozenset(
    {"who", "whoever", "whose", "nobody", "somebody", "room", "twin", "door", "company", "lawful"}
    | {"told", "hears", "visit", "visitor", "sitting", "tally", "referee", "station", "pupil"}
    | {"hang", "climb", "judge", "judged"}
)
# Used in several places for a reason.
SHARED_NAMES = {
    "main": "the entry point of each program",
    "cli": "the command line of each package",
    "errors": "the exceptions of each package",
    "forward": "mosec's and PyTorch's hook",
}
# `hill_climb` is the algorithm's name.
TERMS = re.compile("hill_?climb", re.IGNORECASE)
WORD = re.compile("[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def words(name: str) -> set[str]:
    return {word.lower() for word in WORD.findall(TERMS.sub("", name))}


def homonyms(names: list[PublicName]) -> list[str]:
    """Names of modules and of module-level classes and functions that are declared twice."""
    places = defaultdict(list)
    for name in names:
        if name.top_level and name.name not in SHARED_NAMES:
            places[name.name].append(name)
    return [", ".join(map(str, found)) for found in places.values() if len(found) > 1]


def test_public_names_contain_no_banned_word():
    names = public_names(product_files())
    banned = [str(name) for name in names if words(name.name) & BANNED_WORDS]
    assert not banned, "\n".join(banned)


def test_public_names_mean_one_thing_each():
    found = homonyms(list(public_names(product_files())))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", ["lawful", "is_lawful", "TallyBoard", "time_told"])
def test_banned_words_match_parts_of_names(name):
    assert words(name) & BANNED_WORDS


@pytest.mark.parametrize("name", ["hill_climb", "HillClimbState", "stationary", "classroom"])
def test_banned_words_ignore_terms_and_longer_words(name):
    assert not words(name) & BANNED_WORDS


def test_homonyms_lists_class_and_module_declared_twice():
    def declared(kind: str, name: str, path: str) -> PublicName:
        return PublicName(kind, name, Path(ROOT / path), top_level=True)

    names = [
        declared("class", "Plan", "a.py"),
        declared("class", "Plan", "b.py"),
        declared("module", "cli", "a/cli.py"),
        declared("module", "cli", "b/cli.py"),
        declared("function", "plan", "b.py"),
    ]

    assert homonyms(names) == ["a.py: class Plan, b.py: class Plan"]
