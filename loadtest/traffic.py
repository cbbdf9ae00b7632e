"""Who asks for what: users of a hand-over by a Zipf law, each with requests of his own.

Requests (`requests.jsonl`) become bytes once, before the load begins.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from loadtest.latency import widened


class TrafficError(Exception):
    """The requests cannot be used; says which file, line and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What every request asks for; None leaves it to the log or to the service.

    candidates: N; logged requests are cut, or filled up from the user's other requests first.
    """

    candidates: int | None = None
    num_lists: int | None = None
    list_size: int | None = None
    budget_ms: float | None = None


class Traffic:
    """Bodies by user; the one at rank r (1: most logged requests) asks in proportion r**-s."""

    def __init__(self, by_user: Sequence[Sequence[bytes]], exponent: float) -> None:
        self._by_user = by_user
        self._weights = list(accumulate((r + 1) ** -exponent for r in range(len(by_user))))

    def __len__(self) -> int:
        """Users."""
        return len(self._by_user)

    def draw(self, rng: random.Random) -> bytes:
        """A body: a user by the law, then any request of his own."""
        bodies = rng.choices(self._by_user, cum_weights=self._weights)[0]
        return rng.choice(bodies)


def read_traffic(path: Path, exponent: float, asked: Asked) -> Traffic:
    """Read requests.jsonl; raises TrafficError."""
    if exponent < 0:
        raise TrafficError(f"the Zipf exponent must be 0 (all alike) or above, not {exponent}")
    by_user: dict[str, list[dict[str, Any]]] = {}
    for request in _read(path):
        by_user.setdefault(request["user_id"], []).append(request)
    ranked = sorted(by_user.values(), key=len, reverse=True)
    flat = [request for requests in ranked for request in requests]
    if asked.candidates is not None:
        flat = list(widened(flat, asked.candidates))
        short = min(len(request["candidates"]["item_id"]) for request in flat)
        if short < asked.candidates:
            raise TrafficError(f"{path} holds {short} different items, not {asked.candidates}")
    bodies = iter([_body(request, asked) for request in flat])
    return Traffic([[next(bodies) for _ in requests] for requests in ranked], exponent)


def _read(path: Path) -> list[dict[str, Any]]:
    """Requests in wire format, candidates as columns."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise TrafficError(f"{path} cannot be read: {error.strerror}") from error
    requests = []
    for at, line in enumerate(lines, start=1):
        try:
            request = json.loads(line)["request"]
            if not request["user_id"] or not request["candidates"]["item_id"]:
                raise ValueError("a user and candidates are needed")
        except (ValueError, KeyError, TypeError) as error:
            raise TrafficError(f"{path}:{at} is no logged request: {error!r}") from error
        requests.append(request)
    if not requests:
        raise TrafficError(f"{path} is empty")
    return requests


def _body(request: dict[str, Any], asked: Asked) -> bytes:
    """Without the logged id, so that the same request asked twice gets a seed of its own."""
    body = {name: value for name, value in request.items() if name != "request_id"}
    wanted = {
        "num_lists": asked.num_lists,
        "list_size": asked.list_size,
        "budget_ms": asked.budget_ms,
    }
    body |= {name: value for name, value in wanted.items() if value is not None}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
