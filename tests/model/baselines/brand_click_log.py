"""A toy log from disk in which items of the brand acme are always clicked, others never."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from model.baselines.ranker import Ranker
from model.data.tables.batches import BatchLoader
from model.data.tables.log_tables import LogTables
from model.data.tables.split import TEST
from model.data.tables.table_cache import build_log_tables
from tests.model.baselines.brand_click_data import require_valid_lists
from tests.toy_log import write_toy_log

BRAND_COLUMN = 1  # after the item id


def build_brand_tables(folder: Path) -> LogTables:
    """Tables of a toy log written to the folder, with clicks replaced by the brand rule."""
    tables = build_log_tables(write_toy_log(folder), history_length=3)
    items = np.take_along_axis(tables.candidates, tables.shown, axis=1)
    shown = np.arange(tables.slots) < tables.shown_count[:, None]
    clicked = tables.items.rows_with_default[items][..., BRAND_COLUMN] == acme_brand_row(tables)
    return replace(tables, clicks=np.where(shown, clicked, -1).astype(np.int8))


def acme_brand_row(tables: LogTables) -> int:
    """Embedding row of the brand acme."""
    field = tables.schema.field("brand")
    return tables.schema.block_starts["brand"] + field.value_offsets["acme"]


def brand_precision(ranker: Ranker, tables: LogTables) -> float:
    """Share of the slots that acme items could fill in test requests and do fill."""
    request = BatchLoader(tables).gather(tables.part_rows(TEST)).request
    lists = ranker.propose(request, 3, torch.Generator().manual_seed(3))
    require_valid_lists(lists, request, 3)
    is_acme = request.candidates[..., BRAND_COLUMN] == acme_brand_row(tables)
    hit = is_acme.gather(1, lists[:, 0]) & request.slot_valid
    possible = torch.minimum(is_acme.sum(dim=1), request.slot_valid.sum(dim=1))
    return float(hit.sum() / possible.sum())
