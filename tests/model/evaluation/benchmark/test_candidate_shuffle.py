from pathlib import Path

import torch

from model.contract.schema.declared import UPSTREAM_RANK, UPSTREAM_SCORE
from model.data.tables.batches import BatchLoader
from model.data.tables.table_cache import build_log_tables
from model.evaluation.benchmark.candidate_shuffle import CandidateShuffle
from tests.toy_log import write_toy_log


def test_candidate_shuffle_moves_fields_keeps_upstream_rank(
    tmp_path: Path,
):
    tables = build_log_tables(write_toy_log(tmp_path / "log", ragged=True), history_length=3)
    request = BatchLoader(tables).gather(torch.arange(30)).request
    assert request.cand_valid.sum(dim=1).unique().numel() > 1

    shuffled, back = CandidateShuffle(tables.schema, seed=0)(request)

    columns: dict[str, list[int]] = {}
    at = 0
    for field in tables.schema.candidate_fields:
        columns[field.name] = list(range(at, at + field.width))
        at += field.width
    rank = columns.pop(UPSTREAM_RANK)
    assert UPSTREAM_SCORE in columns
    assert torch.equal(shuffled.candidates[..., rank], request.candidates[..., rank])
    moved = [c for name in columns for c in columns[name]]
    for row in range(30):
        own = request.candidates[row][:, moved]
        assert torch.equal(shuffled.candidates[row][:, moved], own[back[row]])
        assert sorted(back[row].tolist()) == list(range(tables.max_candidates))
        count = int(request.cand_valid[row].sum())
        assert max(back[row, :count].tolist()) == count - 1, "padding stays behind"
    assert not torch.equal(back, torch.arange(tables.max_candidates).expand_as(back))
