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
from model.data.user_cache import user_cache_dir

WHEEL_REQUIREMENT = "recbole==1.2.1"
WHEEL_FILE = "recbole-1.2.1-py3-none-any.whl"
WHEEL_SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
DOWNLOAD_TIMEOUT_S = 300


def download_cache_dir(environ: Mapping[str, str]) -> Path:
    """Folder of downloaded data sets: the cache of the user."""
    return user_cache_dir(environ)


def fetch_wheel(local_wheel: Path | None, cache_dir: Path) -> Path:
    """The verified wheel: the given file, the cached one, or a fresh download.

    Raises:
        DownloadFailed: no network, pip failed, or the bytes are not the expected ones.
    """
    if local_wheel is not None:
        verify_checksum(local_wheel)
        return local_wheel
    kept = cache_dir / WHEEL_FILE
    if kept.exists():
        verify_checksum(kept)
        return kept
    cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_dir) as folder:
        fresh = _pip_download(Path(folder))
        verify_checksum(fresh)
        fresh.replace(kept)
    return kept


def verify_checksum(path: Path) -> None:
    """Raise DownloadFailed unless the file's SHA-256 is the expected one."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DownloadFailed(
            source=str(path), reason=f"cannot be read ({error.strerror})"
        ) from error
    if found != WHEEL_SHA256:
        raise DownloadFailed(
            source=str(path), reason=f"SHA-256 is {found}, expected {WHEEL_SHA256}"
        )


def _pip_download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--dest", str(folder), WHEEL_REQUIREMENT]
    hint = f"; fetch {WHEEL_FILE} elsewhere and name it with --wheel"
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        why = f"pip gave nothing within {DOWNLOAD_TIMEOUT_S} s"
        raise DownloadFailed(source=WHEEL_REQUIREMENT, reason=why + hint) from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise DownloadFailed(
            source=WHEEL_REQUIREMENT, reason=f"pip could not download it ({said}){hint}"
        )
    return folder / WHEEL_FILE
