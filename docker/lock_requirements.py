"""Updates or checks the lock files of the images: every package, its version and its hashes.

    python docker/lock_requirements.py              update; versions stay where they fit
    python docker/lock_requirements.py --upgrade    the newest versions that fit
    python docker/lock_requirements.py --check      exit status 1 when a lock file is out of date

torch is left out: the trainer installs its CPU build from another index, by version. Where pip
finds it is set with --torch-index or --torch-wheels.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCK_DIR = ROOT / "docker" / "locks"
# image -> extras of pyproject.toml beside the service's own dependencies
IMAGE_EXTRAS = {
    "service": ("fast", "otel"),
    "service-without-fast": ("otel",),
    "trainer": ("train",),
    "locust": ("loadtest",),
}
EXCLUDED_PACKAGE = "torch"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
_COMPILE = (
    *(
        sys.executable,
        "-m",
        "uv",
        "pip",
        "compile",
        "pyproject.toml",
        "--quiet",
        "--generate-hashes",
    ),
    *("--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_28"),
    *("--no-emit-package", EXCLUDED_PACKAGE, "--index-strategy", "unsafe-best-match"),
)


def compile_lock(image: str, out: Path, options: Sequence[str]) -> None:
    """Write one lock file; versions that `out` holds already are kept where they fit."""
    extras = [word for extra in IMAGE_EXTRAS[image] for word in ("--extra", extra)]
    command = [*_COMPILE, *extras, *options, "--output-file", str(out)]
    command += ["--custom-compile-command", "make locks"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def is_lock_current(image: str, options: Sequence[str]) -> bool:
    """Whether updating the lock file would leave it unchanged."""
    lock = LOCK_DIR / f"{image}.txt"
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder) / lock.name
        shutil.copyfile(lock, again)
        compile_lock(image, again, options)
        return again.read_text() == lock.read_text()


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that fit")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 when one is old")
    parser.add_argument(
        "--torch-index", default=TORCH_CPU_INDEX, help=f"default: {TORCH_CPU_INDEX}"
    )
    parser.add_argument("--torch-wheels", type=Path, help="a folder with torch's wheel instead")
    given = parser.parse_args(argv)
    torch = ["--extra-index-url", given.torch_index]
    if given.torch_wheels is not None:
        torch = ["--find-links", str(given.torch_wheels)]
    old = []
    for image in IMAGE_EXTRAS:
        options = torch if image == "trainer" else []
        if not given.check:
            upgrade = ["--upgrade"] if given.upgrade else []
            compile_lock(image, LOCK_DIR / f"{image}.txt", [*options, *upgrade])
        elif not is_lock_current(image, options):
            old.append(image)
    for image in old:
        sys.stderr.write(f"docker/locks/{image}.txt is not current: run `make locks`\n")
    return int(bool(old))


if __name__ == "__main__":
    sys.exit(main())
