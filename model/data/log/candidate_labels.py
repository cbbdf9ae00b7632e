"""`truth.parquet`: labels of every candidate, shown or not, where they are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from model.data.errors import LabelsDisagree, RepeatedRequest, UnequalLengths
from model.data.log import checks
from model.data.log.checks import RowLocator
from model.data.log.column_types import ColumnType, as_single_array, select_columns
from model.data.log.impressions import Impressions
from model.data.log.ragged import IntArray, RaggedArray

_COLUMNS = {
    "request_id": ColumnType.TEXT,
    "clicks": ColumnType.INTEGER_LIST,
    "conversions": ColumnType.INTEGER_LIST,
}


@dataclass(frozen=True)
class CandidateLabels:
    """clicks, conversions: (V,) int8 over all candidates of the log, -1 where not known."""

    clicks: NDArray[np.int8]
    conversions: NDArray[np.int8]


def read_candidate_labels(table: pa.Table, impressions: Impressions, file: str) -> CandidateLabels:
    """Check the labels and align them with the candidates of the impressions.

    A request without a row has unknown labels.

    Raises:
        UnequalLengths: a row has another number of labels, or its request is not in the log.
        LabelsDisagree: the label of a shown candidate is not the logged one.
    """
    columns = select_columns(table, _COLUMNS, file=file)
    flat = {name: as_single_array(columns[name]) for name in _COLUMNS}
    origin = RowLocator((file,))
    for name, column in flat.items():
        checks.require_not_null(origin, column, name)
    checks.require_unique_ids(origin, flat["request_id"], "request_id", RepeatedRequest)
    indices = pc.index_in(flat["request_id"], value_set=impressions.request_ids)
    request = np.asarray(pc.fill_null(indices, -1), dtype=np.int64)
    clicks = _aligned(origin, flat["clicks"], "clicks", request, impressions)
    conversions = _aligned(origin, flat["conversions"], "conversions", request, impressions)
    _require_agreement(origin, request, clicks, impressions)
    return CandidateLabels(clicks=clicks, conversions=conversions)


def _aligned(
    origin: RowLocator, column: pa.Array, name: str, request: IntArray, impressions: Impressions
) -> NDArray[np.int8]:
    """(V,) int8 labels of all candidates; `request` (T,) is the log row of each label row."""
    candidates = impressions.candidates
    counts = checks.list_lengths(column)
    expected = np.where(request < 0, 0, candidates.row_lengths[request])
    origin.raise_if_any(
        counts != expected,
        UnequalLengths,
        name,
        lambda row: f"{counts[row]} labels for {expected[row]} candidates of the request",
    )
    lists = RaggedArray(np.asarray(column.flatten(), dtype=np.int64), counts)
    checks.require_binary_labels(origin, lists, name, np.ones(len(lists.values), dtype=bool))
    offset = np.arange(len(lists.values)) - lists.row_starts[lists.value_row_ids]
    out = np.full(len(candidates.values), -1, dtype=np.int8)
    out[candidates.row_starts[request][lists.value_row_ids] + offset] = lists.values
    return out


def _require_agreement(
    origin: RowLocator, request: IntArray, clicks: NDArray[np.int8], impressions: Impressions
) -> None:
    """Require that the label of each shown candidate is the logged one."""
    shown = impressions.shown
    label = clicks[impressions.candidates.row_starts[shown.value_row_ids] + shown.values]
    wrong = np.zeros(len(shown.row_lengths), dtype=bool)
    wrong[shown.value_row_ids[(label >= 0) & (label != impressions.clicks)]] = True
    origin.raise_if_any(
        wrong[request], LabelsDisagree, "clicks", "a shown candidate's click is not the logged one"
    )
