"""Writes the reference pages from the code: `python -m docs.generate_reference [--check]`.

`--check` writes nothing and ends with status 1 where a committed page differs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from docs.reference_pages import adapters_page, command_page, model_pages, service_pages

REFERENCE = Path(__file__).parent / "reference"
PAGES: dict[str, Callable[[], str | None]] = {
    "http-api.md": service_pages.http_api_page,
    "errors.md": service_pages.errors_page,
    "settings.md": service_pages.settings_page,
    "metrics.md": service_pages.metrics_page,
    "redis.md": service_pages.redis_page,
    "command-line.md": command_page.command_page,
    "configuration.md": model_pages.configuration_page,
    "schema.md": model_pages.schema_page,
    "log-format.md": model_pages.log_page,
    "adapters.md": adapters_page.adapters_page,
    "artifact.md": model_pages.artifact_page,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Write the pages, or compare them with the committed ones."""
    parser = argparse.ArgumentParser(prog="docs.generate_reference", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; 1 on a difference")
    arguments = parser.parse_args(argv)
    stale = [name for name, text in rendered().items() if _committed(name) != text]
    if not arguments.check:
        for name in stale:
            (REFERENCE / name).write_text(rendered()[name], encoding="utf-8")
    for name in stale:
        sys.stdout.write(f"{'stale' if arguments.check else 'written'}: docs/reference/{name}\n")
    return 1 if arguments.check and stale else 0


def rendered() -> dict[str, str]:
    """Name and text of every page that this tree can generate."""
    texts = {name: build() for name, build in PAGES.items()}
    return {name: text for name, text in texts.items() if text is not None}


def _committed(name: str) -> str | None:
    path = REFERENCE / name
    return path.read_text("utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
