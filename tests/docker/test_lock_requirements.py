"""The lock files hold what pyproject.toml asks for, every package with its hashes."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from docker.lock_requirements import EXCLUDED_PACKAGE, IMAGE_EXTRAS, LOCK_DIR

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PIN = re.compile(
    r"^([a-z0-9.-]+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})*)(.*?)(?=^\S|\Z)", re.M | re.S
)


def locked_versions(lock: str) -> dict[str, tuple[str, str, str]]:
    """Version, hashes and what asked for it, by package."""
    return {name: (version, hashes, why) for name, version, hashes, why in PIN.findall(lock)}


def declared_requirements(image: str) -> dict[str, Requirement]:
    """What pyproject.toml wants in an image, without what the image takes from elsewhere."""
    lines = [*PROJECT["dependencies"]]
    for extra in IMAGE_EXTRAS[image]:
        lines += PROJECT["optional-dependencies"][extra]
    wanted = {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}
    return {name: wanted[name] for name in wanted if name != EXCLUDED_PACKAGE}


@pytest.fixture(params=sorted(IMAGE_EXTRAS))
def image(request):
    return request.param


@pytest.fixture
def locked(image):
    return locked_versions((LOCK_DIR / f"{image}.txt").read_text())


def test_lock_contains_declared_requirements(image, locked):
    wrong = {
        name: (str(wanted), locked.get(name))
        for name, wanted in declared_requirements(image).items()
        if name not in locked or not wanted.specifier.contains(locked[name][0], prereleases=True)
    }
    assert wrong == {}


def test_lock_contains_no_stale_package(image, locked):
    of_the_project = {name for name, (_, _, why) in locked.items() if "relist (pyproject" in why}
    assert of_the_project == set(declared_requirements(image))


def test_lock_packages_have_hashes(image, locked):
    text = (LOCK_DIR / f"{image}.txt").read_text()
    assert {name for name, (_, hashes, _) in locked.items() if not hashes} == set()
    assert len(locked) == text.count("==")


def test_lock_names_origin_of_packages(locked):
    """`via` names form a closed set: whatever asked for a package is itself locked, or is ours."""
    known = {*locked, "relist", EXCLUDED_PACKAGE}
    strangers = {
        via
        for _, _, why in locked.values()
        for via in re.findall(r"#   (?: via)? *([a-z0-9._-]+)|# via ([a-z0-9._-]+)", why)
        for via in via
        if via and via not in known
    }
    assert strangers == set()


def test_service_lock_contains_no_training_library():
    locked = locked_versions((LOCK_DIR / "service.txt").read_text())
    assert not {"torch", "onnx", "onnxscript", "scikit-learn", "pyarrow", "locust"} & set(locked)


def test_lock_check_detects_missing_package():
    locked = locked_versions(
        "numpy==2.0.0 \\\n    --hash=sha256:" + "0" * 64 + "\n    # via relist\n"
    )
    assert list(locked) == ["numpy"]
    assert not Requirement("numpy>=2.1").specifier.contains(locked["numpy"][0])
