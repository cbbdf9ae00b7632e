"""What the Dockerfiles say: who runs, what is copied, and that it is all that is needed."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
IMAGES = ("service", "trainer", "locust")
# Every module of the service, loaded from the copied files alone; names those that came from
# elsewhere, and training libraries.
PROBE = """
import importlib, pkgutil, sys
folder = sys.argv[1]
sys.path.insert(0, folder)
import service
for module in pkgutil.walk_packages(service.__path__, "service."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
ours = [m for n, m in sys.modules.items() if n.split(".")[0] in {"service", "model", "export"}]
strays = [m.__name__ for m in ours if m.__file__ and not m.__file__.startswith(folder)]
print(sorted(strays), sorted({"torch", "onnx", "pandas"} & set(sys.modules)))
"""


def dockerfile(image: str) -> str:
    return (DOCKER / f"{image}.Dockerfile").read_text()


def last_stage(image: str) -> str:
    return dockerfile(image).rpartition("\nFROM ")[2]


def copy_image_files(image: str, folder: Path) -> None:
    """Copy into the folder what the Dockerfile copies of our code."""
    for line in re.findall(r"^COPY (?!--from)(.*)$", dockerfile(image), re.M):
        *sources, target = line.split()
        if not sources[0].startswith(("service", "model")):
            continue
        for source in sources:
            into = folder / target
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, into, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                into.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, into)


@pytest.mark.slow
def test_service_image_files_are_enough_to_start(tmp_path):
    copy_image_files("service", tmp_path)
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROBE, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert done.stdout.strip() == "[] []"


def test_service_image_contains_only_model_contract(tmp_path):
    copy_image_files("service", tmp_path)
    held = {path.relative_to(tmp_path).parts[:2] for path in tmp_path.rglob("*.py")}
    assert {parts for parts in held if parts[0] == "model"} == {
        ("model", "__init__.py"),
        ("model", "contract"),
    }
    assert {parts[0] for parts in held} == {"model", "service"}


@pytest.mark.parametrize("image", IMAGES)
def test_image_runs_unprivileged_and_stops_on_sigterm(image):
    stage = last_stage(image)
    assert re.search(r"^USER 10001:10001$", stage, re.M)
    assert re.search(r"^STOPSIGNAL SIGTERM$", stage, re.M)
    assert stage.index("USER") > max(stage.rfind("\nCOPY"), stage.rfind("\nRUN"))


@pytest.mark.parametrize("image", IMAGES)
def test_image_volume_belongs_to_runtime_user(image):
    assert "install -d -o 10001 -g 10001 /run/relist\n" in last_stage(image)


@pytest.mark.parametrize("image", IMAGES)
def test_image_installs_hashed_wheels_only(image):
    text = dockerfile(image).replace("\\\n", " ")
    of_locks = [line for line in text.splitlines() if "-r /tmp/lock.txt" in line]
    assert len(of_locks) == 1
    for option in ("--require-hashes", "--no-deps", "--only-binary :all:"):
        assert option in of_locks[0]


@pytest.mark.parametrize("image", IMAGES)
def test_image_has_oci_labels(image):
    labels = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", last_stage(image)))
    assert labels == {"title", "description", "licenses", "version", "revision"}


def test_service_image_healthcheck_uses_python_only():
    assert re.search(
        r"HEALTHCHECK .*\n +CMD \[\"python\", \"/app/healthcheck.py\"\]", last_stage("service")
    )


def test_trainer_image_installs_declared_torch():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    (torch,) = [line for line in extras["train"] if line.startswith("torch")]
    assert f"ARG TORCH={torch}\n" in dockerfile("trainer")
    assert f"TORCH := {torch}\n" in (ROOT / "Makefile").read_text()


def test_dockerignore_allows_copied_paths():
    let_in = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    for image in IMAGES:
        for line in re.findall(r"^COPY (?!--from)(.*)$", dockerfile(image), re.M):
            for source in line.replace("${LOCK}", "service").split()[:-1]:
                covering = {source, *(str(parent) for parent in Path(source).parents)}
                assert covering & let_in, f"{image}: {source}"
