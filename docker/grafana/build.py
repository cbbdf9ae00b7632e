"""Writes the dashboards' JSON: `python -m docker.grafana.build` from the root of the repository."""

from __future__ import annotations

from pathlib import Path

from docker.grafana import features, quality, service
from docker.grafana.panels import to_json

FOLDER = Path(__file__).parent / "dashboards"
BOARDS = {"service": service.BOARD, "quality": quality.BOARD, "features": features.BOARD}


def main() -> None:
    """Write one file a dashboard."""
    FOLDER.mkdir(exist_ok=True)
    for name, board in BOARDS.items():
        (FOLDER / f"{name}.json").write_text(to_json(board), encoding="utf-8")


if __name__ == "__main__":
    main()
