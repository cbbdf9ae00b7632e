from pathlib import Path

import torch

from model.contract.schema.declared import UPSTREAM_RANK, UPSTREAM_SCORE
from model.data.tables.batches import BatchLoader
from model.data.tables.table_cache import build_log_tables
from model.evaluation.benchmark.candidate_shuffle import CandidateShuffle
from tests.toy_log import write_toy_log


def test_candidate_shuffle_moves_fields_keeps_upstream_rank(tmp_path: Path):
    tables = build_log_tables(write_toy_log(tmp_path / "log", ragged=True), history_length=3)
    request = BatchLoader(tables).gather(torch.arange(30)).request
    assert request.cand_valid.sum(dim=1).unique().numel() > 1

    shuffled, order = CandidateShuffle(tables.schema, seed=0)(request)

    columns: dict[str, list[int]] = {}
    column = 0
    for field in tables.schema.candidate_fields:
        columns[field.name] = list(range(column, column + field.width))
        column += field.width
    rank = columns.pop(UPSTREAM_RANK)
    assert UPSTREAM_SCORE in columns
    assert torch.equal(shuffled.candidates[..., rank], request.candidates[..., rank])
    moved = [c for name in columns for c in columns[name]]
    for row in range(30):
        original = request.candidates[row][:, moved]
        assert torch.equal(shuffled.candidates[row][:, moved], original[order[row]])
        assert sorted(order[row].tolist()) == list(range(tables.max_candidates))
        count = int(request.cand_valid[row].sum())
        assert max(order[row, :count].tolist()) == count - 1, "padding stays last"
    assert not torch.equal(order, torch.arange(tables.max_candidates).expand_as(order))
