"""The workload: users of a serving bundle by a Zipf law, each with their own logged requests.

Requests (`requests.jsonl`) are serialized once, before the load begins.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from loadtest.stage_latency import resize_candidates
from model.contract.text_files import split_lines


class WorkloadError(Exception):
    """The requests cannot be used; names file, line and reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOverrides:
    """Values set in every request; None leaves it to the log or to the service.

    candidates: N; logged requests are cut, or filled up from the user's other requests first.
    """

    candidates: int | None = None
    num_lists: int | None = None
    list_size: int | None = None
    budget_ms: float | None = None


class Workload:
    """Bodies by user; the user at rank r (1: most logged requests) sends in proportion r**-s."""

    def __init__(self, bodies_by_user: Sequence[Sequence[bytes]], exponent: float) -> None:
        self._by_user = bodies_by_user
        self._weights = list(accumulate((r + 1) ** -exponent for r in range(len(bodies_by_user))))

    def __len__(self) -> int:
        """Number of users."""
        return len(self._by_user)

    def sample_body(self, rng: random.Random) -> bytes:
        """A random body: a user by the law, then any of their requests."""
        bodies = rng.choices(self._by_user, cum_weights=self._weights)[0]
        return rng.choice(bodies)


def read_workload(path: Path, exponent: float, overrides: RequestOverrides) -> Workload:
    """Read requests.jsonl; raises WorkloadError."""
    if exponent < 0:
        raise WorkloadError(f"the Zipf exponent must be 0 (all alike) or above, not {exponent}")
    by_user: dict[str, list[dict[str, Any]]] = {}
    for request in _read(path):
        by_user.setdefault(request["user_id"], []).append(request)
    ranked = sorted(by_user.values(), key=len, reverse=True)
    flat = [request for requests in ranked for request in requests]
    if overrides.candidates is not None:
        flat = list(resize_candidates(flat, overrides.candidates))
        short = min(len(request["candidates"]["item_id"]) for request in flat)
        if short < overrides.candidates:
            raise WorkloadError(f"{path} holds {short} different items, not {overrides.candidates}")
    bodies = iter([_body(request, overrides) for request in flat])
    return Workload([[next(bodies) for _ in requests] for requests in ranked], exponent)


def _read(path: Path) -> list[dict[str, Any]]:
    """Requests in wire format, candidates as columns."""
    try:
        lines = split_lines(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WorkloadError(f"{path} cannot be read: {error.strerror}") from error
    requests = []
    for at, line in enumerate(lines, start=1):
        try:
            request = json.loads(line)["request"]
            if not request["user_id"] or not request["candidates"]["item_id"]:
                raise ValueError("a user and candidates are needed")
        except (ValueError, KeyError, TypeError) as error:
            raise WorkloadError(f"{path}:{at} is no logged request: {error!r}") from error
        requests.append(request)
    if not requests:
        raise WorkloadError(f"{path} is empty")
    return requests


def _body(request: dict[str, Any], asked: RequestOverrides) -> bytes:
    """A body without the logged id, so that a repeated request gets another seed."""
    body = {name: value for name, value in request.items() if name != "request_id"}
    wanted = {
        "num_lists": asked.num_lists,
        "list_size": asked.list_size,
        "budget_ms": asked.budget_ms,
    }
    body |= {name: value for name, value in wanted.items() if value is not None}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
