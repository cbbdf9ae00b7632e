"""Random encoded requests for tests of nets: different rows, padding everywhere it may be."""

from __future__ import annotations

import torch

from model.config.pipeline_config import EvaluatorConfig, GeneratorConfig
from model.nets.build import build_evaluator, build_generator
from model.nets.evaluators.abstract_evaluator import EncodedRequest
from model.nets.field_layout import FieldLayout
from model.nets.generators.abstract_generator import Generator
from model.nets.request_tensors import RequestTensors

TABLE_ROWS = 60
# id, a field of two values, one more; sessions: id, two values, clicked, converted
TOY_FIELDS = FieldLayout(
    num_embeddings=TABLE_ROWS,
    candidate=((0, 1), (1, 2), (3, 1)),
    session=((0, 1), (1, 2), (3, 1), (4, 1)),
    user=((0, 1), (1, 1)),
)
TOY_SLOTS, TOY_SESSIONS = 4, 3


def random_request(
    batch: int = 3, candidates: int = 7, *, seed: int = 0, ragged: bool = True
) -> RequestTensors:
    """A batch whose rows differ; with `ragged`, row b lacks some candidates, slots and sessions."""
    rng = torch.Generator().manual_seed(seed)

    def rows(*shape: int) -> torch.Tensor:
        return torch.randint(1, TABLE_ROWS, shape, generator=rng, dtype=torch.int32)

    cand_valid = torch.ones(batch, candidates, dtype=torch.bool)
    slot_valid = torch.ones(batch, TOY_SLOTS, dtype=torch.bool)
    sess_valid = torch.rand(batch, TOY_SESSIONS, TOY_SLOTS, generator=rng) > 0.3
    if ragged:
        for b in range(batch):
            cand_valid[b, candidates - b % 3 :] = False
            slot_valid[b, TOY_SLOTS - b % 3 :] = False
            sess_valid[b, TOY_SESSIONS - b % 3 :] = False
    return RequestTensors(
        candidates=rows(batch, candidates, 4) * cand_valid.unsqueeze(-1),
        cand_valid=cand_valid,
        slot_valid=slot_valid,
        user=rows(batch, 2),
        sessions=rows(batch, TOY_SESSIONS, TOY_SLOTS, 5) * sess_valid.unsqueeze(-1),
        sess_valid=sess_valid,
    )


def input_lists(request: RequestTensors) -> torch.Tensor:
    """(B, M) the input list; slots that are not there hold 0."""
    places = torch.arange(request.slot_valid.shape[1]).expand(request.slot_valid.shape)
    return places.masked_fill(~request.slot_valid, 0)


def small_generator(kind: str = "nlgr", *, starts_from_relevance_order: bool = False) -> Generator:
    """A generator with the same fresh weights every time, for the default evaluator."""
    torch.manual_seed(0)
    config = GeneratorConfig(
        kind=kind, hidden=8, head_width=3, starts_from_relevance_order=starts_from_relevance_order
    )
    return build_generator(config, EvaluatorConfig(), TOY_FIELDS, TOY_SLOTS).eval()


def encoded_request(request: RequestTensors) -> EncodedRequest:
    """What the default evaluator with fresh weights knows of the request."""
    torch.manual_seed(1)
    with torch.no_grad():
        return build_evaluator(EvaluatorConfig(), TOY_FIELDS, TOY_SLOTS).eval().encode(request)
