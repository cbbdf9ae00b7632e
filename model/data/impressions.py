"""The rows of a log: what was offered, shown, and answered, as checked flat columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from model.contract.schema import UPSTREAM, FieldSpec, Kind, Schema, Scope
from model.data import checks
from model.data.checks import Bools, Limits, Origin
from model.data.column_types import Want, pick, single, wanted
from model.data.errors import RepeatedRequest, UnknownItem, UnknownUser
from model.data.ragged import Ints, Ragged

Places = Callable[[pa.Array], NDArray[np.int32]]
_LAYOUT = {
    "request_id": Want.TEXT,
    "user_id": Want.TEXT,
    "timestamp": Want.WHOLE,
    "candidates": Want.TEXTS,
    "upstream_scores": Want.NUMBERS,
    "shown": Want.TEXTS,
    "clicks": Want.WHOLES,
    "conversions": Want.WHOLES,
}


@dataclass(frozen=True)
class Impressions:
    """R logged requests in the order of the files; V candidates and W shown items in all.

    request_ids: (R,) arrow text, distinct.
    user_place: (R,) int32 place in the users. timestamp: (R,) int64 Unix ms.
    candidates: Ragged int32, places in the items, upstream order.
    scores: (V,) float64, NaN where the upstream gave none.
    shown: Ragged int32, places in the row's candidates, by slot.
    clicks, conversions: (W,) int8; a conversion that is not known is -1.
    context: field -> (R,) arrow array. candidate_values: field -> (V,) arrow array.
    """

    request_ids: pa.Array
    user_place: NDArray[np.int32]
    timestamp: Ints
    candidates: Ragged
    scores: NDArray[np.float64]
    shown: Ragged
    clicks: NDArray[np.int8]
    conversions: NDArray[np.int8]
    context: Mapping[str, pa.Array]
    candidate_values: Mapping[str, pa.Array]


def read_impressions(
    tables: list[pa.Table],
    names: list[str],
    declared: Schema,
    places: tuple[Places, Places],
    limits: Limits,
) -> Impressions:
    """Check the files' tables and join them.

    Args:
        tables: one arrow table a file.
        names: the files' names, for messages.
        declared: which context and candidate-scope columns there must be.
        places: ids -> places, of items and of users.
        limits: how long the lists may be.
    """
    contexts = declared.fields(Scope.CONTEXT)
    of_candidates = tuple(f for f in declared.fields(Scope.CANDIDATE) if f.name not in UPSTREAM)
    want = _LAYOUT | {spec.name: wanted(spec) for spec in (*contexts, *of_candidates)}
    picked = [pick(t, want, file=name) for t, name in zip(tables, names, strict=True)]
    starts = np.cumsum([0, *(t.num_rows for t in picked[:-1])])
    origin = Origin(tuple(names), tuple(int(s) for s in starts))
    whole = pa.concat_tables(picked).combine_chunks()
    columns = {name: single(whole[name]) for name in want}
    return _Reader(origin, columns, limits).read(places, contexts, of_candidates)


class _Reader:
    """The joined columns on their way through the checks."""

    def __init__(self, origin: Origin, columns: Mapping[str, pa.Array], limits: Limits) -> None:
        self.origin, self.columns, self.limits = origin, columns, limits

    def read(
        self,
        places: tuple[Places, Places],
        contexts: tuple[FieldSpec, ...],
        of_candidates: tuple[FieldSpec, ...],
    ) -> Impressions:
        origin, columns = self.origin, self.columns
        for name in ("request_id", "user_id", "timestamp", "candidates", "shown", "clicks"):
            checks.require_no_gap(origin, columns[name], name)
        checks.require_unique(origin, columns["request_id"], "request_id", RepeatedRequest)
        timestamp = np.asarray(columns["timestamp"], dtype=np.int64)
        checks.require_milliseconds(origin, timestamp)
        candidates = self._candidates(places[0])
        shown = self._shown(places[0], candidates)
        clicks = self._flags("clicks", shown, "shown")
        conversions = self._flags("conversions", shown, "shown")
        checks.require_clicked(origin, clicks, conversions, shown)
        return Impressions(
            request_ids=columns["request_id"],
            user_place=self._users(places[1]),
            timestamp=timestamp,
            candidates=candidates,
            scores=self._numbers("upstream_scores", candidates),
            shown=shown,
            clicks=clicks,
            conversions=conversions,
            context={spec.name: self._context(spec) for spec in contexts},
            candidate_values={f.name: self._of_candidates(f, candidates) for f in of_candidates},
        )

    def _users(self, places: Places) -> NDArray[np.int32]:
        ids = self.columns["user_id"]
        users = places(ids)
        self.origin.forbid(
            users < 0,
            UnknownUser,
            "user_id",
            lambda row: f"{ids[row].as_py()!r} is not in users.parquet",
        )
        return users

    def _candidates(self, places: Places) -> Ragged:
        column = self.columns["candidates"]
        ids, counts = column.flatten(), checks.lengths(column)
        lists = Ragged(places(ids), counts)
        checks.require_lengths(self.origin, lists, "candidates", self.limits.candidates)
        self.origin.forbid_value(
            lists.values < 0,
            lists,
            UnknownItem,
            "candidates",
            lambda at: f"{ids[at].as_py()!r} is not in items.parquet",
        )
        checks.require_distinct(self.origin, lists, "candidates", lambda at: str(ids[at].as_py()))
        return lists

    def _shown(self, places: Places, candidates: Ragged) -> Ragged:
        column = self.columns["shown"]
        ids = column.flatten()
        lists = Ragged(places(ids), checks.lengths(column))
        checks.require_lengths(self.origin, lists, "shown", self.limits.shown)

        def name(at: int) -> str:
            return str(ids[at].as_py())

        inside = checks.places_in_candidates(self.origin, lists, candidates, name)
        checks.require_distinct(self.origin, lists, "shown", name)
        return inside

    def _flags(self, name: str, lists: Ragged, other: str) -> NDArray[np.int8]:
        values, given = self._aligned(name, lists, other, fill=-1)
        flags = values.astype(np.int64)
        checks.require_flags(self.origin, Ragged(flags, lists.counts), name, given)
        return np.where(given, flags, -1).astype(np.int8)

    def _numbers(self, name: str, lists: Ragged) -> NDArray[np.float64]:
        values, given = self._aligned(name, lists, "candidates", fill=np.nan)
        checks.require_finite(self.origin, values, given, lists, name)
        return values

    def _aligned(
        self, name: str, lists: Ragged, other: str, fill: float
    ) -> tuple[NDArray[np.float64], Bools]:
        """(V,) numbers of a list column spread over `lists`, and which of them are given."""
        column = self.columns[name]
        here = ~np.asarray(pc.is_null(column))
        counts = checks.lengths(column)
        checks.require_same_lengths(self.origin, counts, lists, name, other, here)
        flat = column.flatten()
        inside = here[lists.rows]
        given, values = inside.copy(), np.full(len(inside), fill, dtype=np.float64)
        given[inside] = ~np.asarray(pc.is_null(flat))
        values[given] = np.asarray(flat.drop_null(), dtype=np.float64)
        return values, given

    def _context(self, spec: FieldSpec) -> pa.Array:
        column = self.columns[spec.name]
        if spec.kind is Kind.NUMERIC:
            given = ~np.asarray(pc.is_null(column))
            numbers = np.asarray(column, dtype=np.float64)
            checks.require_finite(self.origin, numbers, given, None, spec.name)
        return column

    def _of_candidates(self, spec: FieldSpec, candidates: Ragged) -> pa.Array:
        if spec.kind is Kind.NUMERIC:
            return pa.array(self._numbers(spec.name, candidates), from_pandas=True)  # NaN: gap
        column = self.columns[spec.name]
        here = ~np.asarray(pc.is_null(column))
        counts = checks.lengths(column)
        checks.require_same_lengths(self.origin, counts, candidates, spec.name, "candidates", here)
        at = np.full(len(candidates.values), -1, dtype=np.int64)
        inside = here[candidates.rows]
        at[inside] = np.arange(int(inside.sum()))
        return column.flatten().take(pa.array(at, mask=~inside))
