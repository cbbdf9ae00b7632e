"""`log.toml` of a log: its name, its split, and whether its feedback is simulated."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from model.data.atomic_files import replace_file
from model.data.toml_config import read_flat_toml

LOG_TOML = "log.toml"
SPLIT_BY_USER, SPLIT_BY_TIME = "user", "time"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogInfo:
    """Settings of a log.

    split: `time` cuts the whole log at two timestamps; `user` cuts the timeline of each user.
    shares: of training, validation and test requests; they sum to 1.
    list_size: default size of a served list; 0 takes the longest shown list.
    simulated: feedback was drawn from a model of users; every report says so.
    """

    name: str = "log"
    split: str = SPLIT_BY_TIME
    shares: tuple[float, ...] = (0.8, 0.1, 0.1)
    list_size: int = 0
    simulated: bool = False

    def __post_init__(self) -> None:
        if self.split not in (SPLIT_BY_USER, SPLIT_BY_TIME):
            raise ValueError(f"split is {SPLIT_BY_USER!r} or {SPLIT_BY_TIME!r}, not {self.split!r}")
        if len(self.shares) != 3 or min(self.shares) <= 0 or abs(sum(self.shares) - 1) > 1e-9:
            raise ValueError(f"shares are three positive numbers that sum to 1, not {self.shares}")
        if self.list_size < 0:
            raise ValueError(f"list_size={self.list_size} is negative")


def read_log_info(log_dir: Path) -> LogInfo:
    """Read log.toml; a log without one is split by time and named after its folder."""
    path = log_dir / LOG_TOML
    return read_flat_toml(LogInfo, path) if path.exists() else LogInfo(name=log_dir.resolve().name)


def write_log_info(log_dir: Path, info: LogInfo) -> None:
    """Write log.toml atomically."""
    shares = ", ".join(map(str, info.shares))
    text = (
        f'name = {json.dumps(info.name, ensure_ascii=False)}\nsplit = "{info.split}"\nshares = [{shares}]\n'
        f"list_size = {info.list_size}\nsimulated = {str(info.simulated).lower()}\n"
    )
    with replace_file(log_dir / LOG_TOML) as fresh:
        fresh.write_text(text, encoding="utf-8", newline="\n")
