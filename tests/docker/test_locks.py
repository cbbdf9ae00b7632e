"""The lock files hold what pyproject.toml asks for, every package with its hashes."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from docker.renew_locks import APART, EXTRAS, FOLDER

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PIN = re.compile(
    r"^([a-z0-9.-]+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})*)(.*?)(?=^\S|\Z)", re.M | re.S
)


def pins(lock: str) -> dict[str, tuple[str, str, str]]:
    """Version, hashes and what asked for it, by package."""
    return {name: (version, hashes, why) for name, version, hashes, why in PIN.findall(lock)}


def asked(image: str) -> dict[str, Requirement]:
    """What pyproject.toml wants in an image, without what the image takes from elsewhere."""
    lines = [*PROJECT["dependencies"]]
    for extra in EXTRAS[image]:
        lines += PROJECT["optional-dependencies"][extra]
    wanted = {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}
    return {name: wanted[name] for name in wanted if name != APART}


@pytest.fixture(params=sorted(EXTRAS))
def image(request):
    return request.param


@pytest.fixture
def locked(image):
    return pins((FOLDER / f"{image}.txt").read_text())


def test_every_package_that_the_project_asks_for_is_locked_at_a_version_that_it_allows(
    image, locked
):
    wrong = {
        name: (str(wanted), locked.get(name))
        for name, wanted in asked(image).items()
        if name not in locked or not wanted.specifier.contains(locked[name][0], prereleases=True)
    }
    assert wrong == {}


def test_nothing_is_locked_that_the_project_no_longer_asks_for(image, locked):
    of_the_project = {name for name, (_, _, why) in locked.items() if "relist (pyproject" in why}
    assert of_the_project == set(asked(image))


def test_every_locked_package_has_a_hash_and_every_line_was_understood(image, locked):
    text = (FOLDER / f"{image}.txt").read_text()
    assert {name for name, (_, hashes, _) in locked.items() if not hashes} == set()
    assert len(locked) == text.count("==")


def test_every_package_is_locked_by_what_asks_for_it(locked):
    """`via` names form a closed set: whatever asked for a package is itself locked, or is ours."""
    known = {*locked, "relist", APART}
    strangers = {
        via
        for _, _, why in locked.values()
        for via in re.findall(r"#   (?: via)? *([a-z0-9._-]+)|# via ([a-z0-9._-]+)", why)
        for via in via
        if via and via not in known
    }
    assert strangers == set()


def test_the_service_image_holds_no_training_library():
    locked = pins((FOLDER / "service.txt").read_text())
    assert not {"torch", "onnx", "onnxscript", "scikit-learn", "pyarrow", "locust"} & set(locked)


def test_an_image_that_asks_for_what_is_not_locked_is_seen():
    locked = pins("numpy==2.0.0 \\\n    --hash=sha256:" + "0" * 64 + "\n    # via relist\n")
    assert list(locked) == ["numpy"]
    assert not Requirement("numpy>=2.1").specifier.contains(locked["numpy"][0])
