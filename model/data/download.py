"""Fetches the one public data set that the adapters read, once, and proves it is the expected one.

ML-100K lies inside a PyPI wheel and may not be redistributed, so it is downloaded by pip, checked
by its SHA-256, and kept in the user's cache. Nothing is unpacked or installed.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from model.data.errors import DownloadFailed

PACKAGE = "recbole==1.2.1"
WHEEL = "recbole-1.2.1-py3-none-any.whl"
SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
TIMEOUT_S = 300


def cache_folder(environ: Mapping[str, str]) -> Path:
    """`$XDG_CACHE_HOME/relist`, by default `~/.cache/relist`."""
    base = environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "relist"


def wheel(given: Path | None, cache: Path) -> Path:
    """The verified wheel: the given file, the cached one, or a fresh download.

    Raises:
        DownloadFailed: no network, pip failed, or the bytes are not the expected ones.
    """
    if given is not None:
        verify(given)
        return given
    kept = cache / WHEEL
    if kept.exists():
        verify(kept)
        return kept
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        fresh = _pip_download(Path(folder))
        verify(fresh)
        fresh.replace(kept)
    return kept


def verify(path: Path) -> None:
    """Raise DownloadFailed unless the file's SHA-256 is the expected one."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DownloadFailed(what=str(path), why=f"cannot be read ({error.strerror})") from error
    if found != SHA256:
        raise DownloadFailed(what=str(path), why=f"SHA-256 is {found}, expected {SHA256}")


def _pip_download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--dest", str(folder), PACKAGE]
    hint = f"; fetch {WHEEL} elsewhere and name it with --wheel"
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        why = f"pip gave nothing within {TIMEOUT_S} s"
        raise DownloadFailed(what=PACKAGE, why=why + hint) from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise DownloadFailed(what=PACKAGE, why=f"pip could not download it ({said}){hint}")
    return folder / WHEEL


__all__ = ["PACKAGE", "SHA256", "WHEEL", "cache_folder", "verify", "wheel"]
