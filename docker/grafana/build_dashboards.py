"""Write the dashboards' JSON: `python -m docker.grafana.build_dashboards` from the root."""

from __future__ import annotations

from pathlib import Path

from docker.grafana import features_dashboard, quality_dashboard, service_dashboard
from docker.grafana.panels import dashboard_json

DASHBOARD_DIR = Path(__file__).parent / "dashboards"
DASHBOARDS = {
    "service": service_dashboard.SERVICE_DASHBOARD,
    "quality": quality_dashboard.QUALITY_DASHBOARD,
    "features": features_dashboard.FEATURES_DASHBOARD,
}


def main() -> None:
    """Write one file per dashboard."""
    DASHBOARD_DIR.mkdir(exist_ok=True)
    for name, board in DASHBOARDS.items():
        (DASHBOARD_DIR / f"{name}.json").write_text(dashboard_json(board), encoding="utf-8")


if __name__ == "__main__":
    main()
