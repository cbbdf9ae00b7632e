"""Example requests of the API document and of the playground's catalog."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from model.contract.errors import ContractError
from model.contract.wire.request import parse_request
from service.api.playground.request_catalog import RequestCatalog
from service.telemetry.structured_logs import log_event

MAX_REQUESTS = 1000  # requests read from the file at most, which bounds memory
_EXAMPLE_ITEMS = 12


class ExampleRequests:
    """Example requests, empty until there is an artifact; `example` is valid as it is."""

    def __init__(self, requests_file: Path | None, *, playground: bool) -> None:
        self._file, self._playground = requests_file, playground
        self.example: dict[str, Any] = {}
        self.catalog = RequestCatalog()

    def publish(self, item_ids: Sequence[str]) -> None:
        """Publish logged requests where the file has some, else one made of known items."""
        logged = [] if self._file is None else self._read(self._file)
        if not logged:
            self.example.update(_synthetic_request(list(item_ids[:_EXAMPLE_ITEMS])))
            return
        self.example.update(logged[0]["request"])
        if self._playground:
            self.catalog.fill(logged)

    def _read(self, path: Path) -> list[dict[str, Any]]:
        """The logged requests; empty, with a warning, where the file cannot be used."""
        try:
            logged = read_logged_requests(path, MAX_REQUESTS if self._playground else 1)
        except (OSError, ValueError) as error:
            log_event("warning", "requests_file_unusable", error)
            return []
        if not logged:
            log_event("warning", "requests_file_empty")
        return logged


def read_logged_requests(path: Path, limit: int) -> list[dict[str, Any]]:
    """The first lines of a requests.jsonl; raises OSError, or ValueError for a broken line."""
    with path.open(encoding="utf-8", newline="\n") as file:
        return [_logged_request(line) for line in islice(file, limit)]


def _logged_request(line: str) -> dict[str, Any]:
    logged = json.loads(line)
    if not isinstance(logged, dict) or not isinstance(logged.get("request"), dict):
        raise ValueError('a line is an object with a "request"')
    request = logged["request"]
    if not isinstance(request.get("candidates"), dict):
        raise ValueError("the candidates of a logged request are columns")
    try:
        parse_request(json.dumps(request).encode())
    except ContractError as error:
        raise ValueError(str(error)) from error
    return logged


def _synthetic_request(item_ids: list[str]) -> dict[str, Any]:
    return {
        "user_id": "somebody",
        "candidates": {"item_id": item_ids, "score": [1.0 - i / 100 for i in range(len(item_ids))]},
    }
