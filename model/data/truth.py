"""`truth.parquet`: labels of every candidate, shown or not, where an adapter knows them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from model.data import checks
from model.data.checks import Origin
from model.data.column_types import Want, pick, single
from model.data.errors import LabelsDisagree, RepeatedRequest, UnequalLengths
from model.data.impressions import Impressions
from model.data.ragged import Ints, Ragged

_COLUMNS = {"request_id": Want.TEXT, "clicks": Want.WHOLES, "conversions": Want.WHOLES}


@dataclass(frozen=True)
class Truth:
    """clicks, conversions: (V,) int8 over all candidates of the log, -1 where not known."""

    clicks: NDArray[np.int8]
    conversions: NDArray[np.int8]


def read_truth(table: pa.Table, impressions: Impressions, file: str) -> Truth:
    """Check the labels and align them with the impressions' candidates.

    A request without a row has unknown labels; a row for no request of the log is an error of its
    lengths.
    """
    columns = pick(table, _COLUMNS, file=file)
    flat = {name: single(columns[name]) for name in _COLUMNS}
    origin = Origin((file,))
    for name, column in flat.items():
        checks.require_no_gap(origin, column, name)
    checks.require_unique(origin, flat["request_id"], "request_id", RepeatedRequest)
    at = pc.index_in(flat["request_id"], value_set=impressions.request_ids)
    request = np.asarray(pc.fill_null(at, -1), dtype=np.int64)
    clicks = _aligned(origin, flat["clicks"], "clicks", request, impressions)
    conversions = _aligned(origin, flat["conversions"], "conversions", request, impressions)
    _require_agreement(origin, request, clicks, impressions)
    return Truth(clicks=clicks, conversions=conversions)


def _aligned(
    origin: Origin, column: pa.Array, name: str, request: Ints, impressions: Impressions
) -> NDArray[np.int8]:
    """(V,) labels over the log's candidates."""
    candidates = impressions.candidates
    counts = checks.lengths(column)
    expected = np.where(request < 0, 0, candidates.counts[request])
    origin.forbid(
        counts != expected,
        UnequalLengths,
        name,
        lambda row: f"{counts[row]} labels for {expected[row]} candidates of the request",
    )
    lists = Ragged(np.asarray(column.flatten(), dtype=np.int64), counts)
    checks.require_flags(origin, lists, name, np.ones(len(lists.values), dtype=bool))
    inside = np.arange(len(lists.values)) - lists.starts[lists.rows]
    out = np.full(len(candidates.values), -1, dtype=np.int8)
    out[candidates.starts[request][lists.rows] + inside] = lists.values
    return out


def _require_agreement(
    origin: Origin, request: Ints, clicks: NDArray[np.int8], impressions: Impressions
) -> None:
    """The label of a shown candidate is the logged one."""
    shown = impressions.shown
    told = clicks[impressions.candidates.starts[shown.rows] + shown.values]
    wrong = np.zeros(len(shown.counts), dtype=bool)
    wrong[shown.rows[(told >= 0) & (told != impressions.clicks)]] = True
    origin.forbid(
        wrong[request], LabelsDisagree, "clicks", "a shown candidate's click is not the logged one"
    )
