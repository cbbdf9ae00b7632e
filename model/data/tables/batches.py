"""Batches of a log as torch tensors, gathered by row.

The only module of this package that imports torch. Labels are no part of the request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.contract.schema.declared import ITEM_ID, USER_ID
from model.contract.schema.fitted import PADDING_INDEX
from model.data.tables.log_tables import LogTables
from model.nets.request_tensors import RequestTensors


@dataclass(frozen=True, slots=True)
class Batch:
    """Requests with their shown lists and labels.

    request: inputs; `slot_valid` is True for a slot that was shown and not cut off.
    shown: (B, M) int64, index among the candidates, 0 in padding.
    clicks: (B, M) float 0/1, 0 in padding.
    conversions: (B, M) float 0/1, 0 where not known.
    conversion_known: (B, M) bool.
    rows: (B,) int64, rows of the tables.
    """

    request: RequestTensors
    shown: Tensor
    clicks: Tensor
    conversions: Tensor
    conversion_known: Tensor
    rows: Tensor


class BatchLoader:
    """Holds the tables on one device and gathers batches from them."""

    def __init__(self, tables: LogTables, device: torch.device | str = "cpu") -> None:
        def put(array: NDArray[Any]) -> Tensor:
            return torch.from_numpy(np.array(array)).to(device)

        schema = tables.schema
        self.tables, self.device = tables, torch.device(device)
        self._items = put(tables.items.rows_with_default)
        self._candidates, self._cand_count = put(tables.candidates), put(tables.cand_count)
        self._candidate_rows, self._user = put(tables.candidate_rows), put(tables.user_rows)
        self._shown, self._shown_count = put(tables.shown), put(tables.shown_count)
        self._clicks, self._conversions = put(tables.clicks), put(tables.conversions)
        self._sessions, self._session_items = put(tables.sessions), put(tables.session_items)
        self._session_feedback = put(tables.session_feedback)
        self._session_count = put(tables.session_count)
        self._unknown_item = schema.block_starts[ITEM_ID] + schema.field(ITEM_ID).unknown
        self._unknown_user = schema.block_starts[USER_ID] + schema.field(USER_ID).unknown

    def gather(
        self,
        rows: Tensor | NDArray[np.integer[Any]],
        *,
        prefix_share: float = 0.0,
        unknown_share: float = 0.0,
        rng: torch.Generator | None = None,
    ) -> Batch:
        """Gather rows of the log.

        Args:
            rows: (B,) rows of the tables.
            prefix_share: share of rows whose shown list is cut to a random length >= 1.
            unknown_share: share of item and user ids replaced by the unknown id, so that its
                embedding is trained.
            rng: required where a share is above 0.

        Raises:
            ValueError: a share is above 0 without `rng`.
        """
        rows = torch.as_tensor(rows, dtype=torch.int64, device=self.device)
        count = self._shown_count[rows]
        if prefix_share:
            count = _truncate_counts(count, prefix_share, _required(rng))
        slot_valid = _prefix_mask(count, self._shown.shape[1])
        request = self._request(rows, slot_valid)
        if unknown_share:
            request = self._replace_ids_by_unknown(request, unknown_share, _required(rng))
        conversions = self._conversions[rows]
        known = slot_valid & (conversions >= 0)
        return Batch(
            request=request,
            shown=torch.where(slot_valid, self._shown[rows].long(), 0),
            clicks=torch.where(slot_valid, self._clicks[rows], 0).float(),
            conversions=torch.where(known, conversions, 0).float(),
            conversion_known=known,
            rows=rows,
        )

    def _request(self, rows: Tensor, slot_valid: Tensor) -> RequestTensors:
        cand_valid = _prefix_mask(self._cand_count[rows], self._candidates.shape[1])
        item_rows = self._candidates[rows]
        candidates = torch.cat([self._items[item_rows], self._candidate_rows[rows]], dim=-1)
        bank = self._sessions[rows]
        sessions = bank.clamp(min=0)
        sess_valid = _prefix_mask(self._session_count[sessions], self._session_items.shape[1])
        sess_valid = sess_valid & (bank >= 0)[..., None]
        past = [self._items[self._session_items[sessions]], self._session_feedback[sessions]]
        return RequestTensors(
            candidates=torch.where(cand_valid[..., None], candidates, PADDING_INDEX),
            cand_valid=cand_valid,
            slot_valid=slot_valid,
            user=self._user[rows],
            sessions=torch.where(sess_valid[..., None], torch.cat(past, dim=-1), PADDING_INDEX),
            sess_valid=sess_valid,
        )

    def _replace_ids_by_unknown(
        self, request: RequestTensors, share: float, rng: torch.Generator
    ) -> RequestTensors:
        """Replace a share of the ids, which are in the first column, by the unknown id."""
        candidates, user = request.candidates.clone(), request.user.clone()
        items = _uniform_like(request.cand_valid, rng) < share
        users = _uniform_like(user[:, 0], rng) < share
        items = items & request.cand_valid
        candidates[..., 0] = torch.where(items, self._unknown_item, candidates[..., 0])
        user[:, 0] = torch.where(users, self._unknown_user, user[:, 0])
        return request._replace(candidates=candidates, user=user)


def _truncate_counts(count: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """(B,) counts; a share of them is replaced by a uniform draw of 1..count."""
    shorter = 1 + (_uniform_like(count, rng) * count).long()
    return torch.where(_uniform_like(count, rng) < share, shorter.clamp(max=count), count)


def _uniform_like(like: Tensor, rng: torch.Generator) -> Tensor:
    """Uniform numbers in [0, 1) in the shape and on the device of `like`."""
    return torch.rand(like.shape, generator=rng, device=rng.device).to(like.device)


def _required(rng: torch.Generator | None) -> torch.Generator:
    if rng is None:
        raise ValueError("prefix_share and unknown_share need rng")
    return rng


def _prefix_mask(counts: Tensor, width: int) -> Tensor:
    """counts.shape + (width,) bool, True in the first `count` cells."""
    return torch.arange(width, device=counts.device) < counts[..., None]
