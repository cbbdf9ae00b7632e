"""Which user store a process reads, and what keeps its item table fresh."""

from __future__ import annotations

from service.main.rollout import OpenStore, Refresh
from service.rerank.ports import UserStore
from service.settings import MEMORY, Settings


def open_store(settings: Settings) -> OpenStore:
    """A function from schema hash to a store of that schema."""

    def opened(schema_hash: str) -> UserStore:
        raise NotImplementedError

    return opened


def open_refresh(settings: Settings) -> Refresh | None:
    """The background refresher of item tables; None where there is nothing to read from."""
    return None
