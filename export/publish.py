"""Writes an artifact folder: built and verified in a temporary folder, then renamed into place.

    root/<artifact>/   one folder per export      root/current   link to the newest
A reader never sees a half-written artifact, and `current` never points at one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from model.contract.artifact.manifest import (
    EXTERNAL_WEIGHTS_FILE,
    Manifest,
    check_artifact_files,
    file_sha256,
    write_manifest,
)

CURRENT_LINK = "current"


def artifact_name(checksums: dict[str, str], now: datetime) -> str:
    """Time of export plus a hash of the contents: unique, and sorts by age."""
    digest = hashlib.sha256("".join(f"{k}{v}" for k, v in sorted(checksums.items())).encode())
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%S}-{digest.hexdigest()[:8]}"


def publish_artifact(
    root: Path, build: Callable[[Path], Callable[[str, dict[str, str]], Manifest]], now: datetime
) -> Path:
    """Build an artifact under `root` and point `current` at it.

    Args:
        root: folder of all artifacts.
        build: writes every file but the manifest into a folder and returns a function that makes
            the manifest from the artifact's name and checksums.
        now: time of the export.

    Returns:
        The artifact's folder. When anything fails, `root` is unchanged.
    """
    root.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".part-", dir=root))
    try:
        describe = build(aside)
        checksums = {path.name: file_sha256(path) for path in sorted(aside.iterdir())}
        name = artifact_name(checksums, now)
        manifest = describe(name, checksums)
        write_manifest(aside, manifest)
        check_artifact_files(aside, manifest)
        _make_read_only(aside)
        _fsync_files(aside)
        place = root / name
        aside.rename(place)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    swap_current_link(root, name)
    return place


def swap_current_link(root: Path, name: str) -> None:
    """Replace the `current` link in one step."""
    link = root / f".{CURRENT_LINK}-{os.getpid()}"
    link.unlink(missing_ok=True)
    link.symlink_to(name)
    link.replace(root / CURRENT_LINK)


def _make_read_only(folder: Path) -> None:
    """Make files readable by all and writable by none; running services map them."""
    folder.chmod(0o755)
    if (folder / EXTERNAL_WEIGHTS_FILE).exists():
        (folder / EXTERNAL_WEIGHTS_FILE).chmod(0o444)


def _fsync_files(folder: Path) -> None:
    for path in (*folder.iterdir(), folder):
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
