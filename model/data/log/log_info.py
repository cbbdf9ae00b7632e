"""`log.toml` beside a log: its name, how it is split, and whether its feedback is simulated."""

from __future__ import annotations

from pathlib import Path

from pydantic.dataclasses import dataclass as pydantic_dataclass

from model.config.toml_reader import STRICT_CONFIG, read_flat_toml

LOG_TOML = "log.toml"
SPLIT_BY_USER, SPLIT_BY_TIME = "user", "time"


@pydantic_dataclass(frozen=True, slots=True, kw_only=True, config=STRICT_CONFIG)
class LogInfo:
    """What the log says of itself.

    split: `time` cuts the whole log at two moments; `user` cuts each user's own timeline.
    shares: of training, validation and test.
    list_size: default size of a served list; 0 takes the longest shown list.
    simulated: feedback was drawn from a model of users, and every report must say so.
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
    """Write log.toml."""
    shares = ", ".join(map(str, info.shares))
    text = (
        f'name = "{info.name}"\nsplit = "{info.split}"\nshares = [{shares}]\n'
        f"list_size = {info.list_size}\nsimulated = {str(info.simulated).lower()}\n"
    )
    (log_dir / LOG_TOML).write_text(text, encoding="utf-8")
