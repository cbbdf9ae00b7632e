"""Requests that a process offers to people: the documents' example and the playground's catalog."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from service.api.playground.catalog import Catalog

MAX_REQUESTS = 1000  # more of the file are not read: what is held is bounded
_EXAMPLE_ITEMS = 12


class Offered:
    """Empty until there is an artifact; `example` is a request that works when pasted."""

    def __init__(self, requests_file: Path | None, *, playground: bool) -> None:
        self._file, self._playground = requests_file, playground
        self.example: dict[str, Any] = {}
        self.catalog = Catalog()

    def publish(self, item_ids: Sequence[str]) -> None:
        """Offer real requests where there is a file of them, else one made of what is known."""
        if self._file is None:
            self.example.update(_made_up(list(item_ids[:_EXAMPLE_ITEMS])))
            return
        logged = read_logged(self._file, MAX_REQUESTS if self._playground else 1)
        self.example.update(logged[0]["request"])
        if self._playground:
            self.catalog.fill(logged)


def read_logged(path: Path, most: int) -> list[dict[str, Any]]:
    """The first lines of a hand-over's requests.jsonl."""
    with path.open(encoding="utf-8", newline="\n") as file:
        return [json.loads(line) for line in islice(file, most)]


def _made_up(item_ids: list[str]) -> dict[str, Any]:
    return {
        "user_id": "somebody",
        "candidates": {"item_id": item_ids, "score": [1.0 - i / 100 for i in range(len(item_ids))]},
    }
