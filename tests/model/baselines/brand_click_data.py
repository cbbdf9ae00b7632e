"""Synthetic requests with known clicks: items of one brand are always clicked, others never.

Ids are drawn from a large range, so memorized ids do not help on new requests.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

from model.baselines.frozen_evaluator import FrozenEvaluator
from model.baselines.ranker import LearnedRanker, NetDimensions, Ranker
from model.contract.scoring.objective import RewardWeights
from model.data.tables.batches import Batch
from model.nets.evaluators.nlgr_evaluator import NlgrEvaluator
from model.nets.field_layout import FieldLayout
from model.nets.request_tensors import RequestTensors, restrict_to_shown
from model.training.losses import feedback_loss

IDS, BRANDS, CLICKED = 40, 4, 52
WANTED_BRAND = IDS + 1  # row of the brand that is clicked
SLOTS, CANDIDATES, SESSIONS = 3, 6, 2
FIELDS = FieldLayout(  # candidate: id, brand; session: the same, clicked, converted; user: id
    num_embeddings=60,
    candidate=((0, 1), (1, 1)),
    session=((0, 1), (1, 1), (2, 1), (3, 1)),
    user=((0, 1),),
)
DIMENSIONS = NetDimensions(
    fields=FIELDS,
    max_candidates=CANDIDATES,
    max_slots=SLOTS,
    embedding_dim=8,
    hidden_dim=16,
    clicked_row=CLICKED,
)


def make_request(batch: int, *, seed: int, ragged: bool = True) -> RequestTensors:
    """Requests that differ; with `ragged` some have fewer candidates, slots or sessions."""
    rng = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int, *shape: int) -> torch.Tensor:
        return torch.randint(low, high, shape, generator=rng, dtype=torch.int32)

    missing = torch.arange(batch) % 3 if ragged else torch.zeros(batch, dtype=torch.int64)
    cand_valid = torch.arange(CANDIDATES) < (CANDIDATES - missing)[:, None]
    slot_valid = torch.arange(SLOTS) < (SLOTS - missing)[:, None]
    has_session = torch.arange(SESSIONS) < (SESSIONS - missing)[:, None]
    sess_valid = has_session[..., None].expand(-1, -1, SLOTS).clone()
    if ragged:
        sess_valid[1::2, :, -1] = False
    brand = draw(WANTED_BRAND, WANTED_BRAND + BRANDS, batch, CANDIDATES)
    candidates = torch.stack([draw(1, IDS, batch, CANDIDATES), brand], dim=-1)
    past_brand = draw(WANTED_BRAND, WANTED_BRAND + BRANDS, batch, SESSIONS, SLOTS)
    clicked = CLICKED - 1 + (past_brand == WANTED_BRAND).to(torch.int32)
    past = [draw(1, IDS, batch, SESSIONS, SLOTS), past_brand, clicked, torch.full_like(clicked, 55)]
    return RequestTensors(
        candidates=candidates * cand_valid.unsqueeze(-1),
        cand_valid=cand_valid,
        slot_valid=slot_valid,
        user=draw(56, 60, batch, 1),
        sessions=torch.stack(past, dim=-1) * sess_valid.unsqueeze(-1),
        sess_valid=sess_valid,
    )


def padded_and_unpadded() -> tuple[RequestTensors, RequestTensors]:
    """Requests without their last candidate and session: padded, and with the padding cut off."""
    padded = RequestTensors(*(part[1::3] for part in make_request(24, seed=11)))
    alone = padded._replace(
        candidates=padded.candidates[:, :-1],
        cand_valid=padded.cand_valid[:, :-1],
        sessions=padded.sessions[:, :-1],
        sess_valid=padded.sess_valid[:, :-1],
    )
    return padded, alone


def make_batch(batch: int, *, seed: int, ragged: bool = True) -> Batch:
    """Requests with random shown lists and their clicks."""
    request = make_request(batch, seed=seed, ragged=ragged)
    return _with_clicks(request, wanted_candidates(request), seed)


def make_context_batch(batch: int, *, seed: int) -> Batch:
    """As `make_batch`, but clicks depend on the other candidates: see `wanted_by_context`."""
    request = make_context_request(batch, seed=seed)
    return _with_clicks(request, wanted_by_context(request), seed)


def make_context_request(batch: int, *, seed: int) -> RequestTensors:
    """Every second request has a candidate of the first brand, the others have none."""
    request = make_request(batch, seed=seed)
    candidates = request.candidates.clone()
    brand = candidates[..., 1]
    brand[brand == WANTED_BRAND] = WANTED_BRAND + 3
    brand[::2, 0] = WANTED_BRAND
    return request._replace(candidates=candidates)


def wanted_by_context(request: RequestTensors) -> torch.Tensor:
    """(B, N) bool: the second brand where the first is among the candidates, else the third."""
    brand = request.candidates[..., 1]
    marked = (brand == WANTED_BRAND).any(dim=1, keepdim=True)
    return (brand == torch.where(marked, WANTED_BRAND + 1, WANTED_BRAND + 2)) & request.cand_valid


def make_preference_batch(batch: int, *, seed: int) -> Batch:
    """Requests whose users click the brand that they clicked before."""
    request, brand = make_preference_request(batch, seed=seed)
    return _with_clicks(request, wanted_by_preference(request, brand), seed)


def make_preference_request(batch: int, *, seed: int) -> tuple[RequestTensors, torch.Tensor]:
    """Requests whose history shows one clicked brand of two, and that brand (B,)."""
    request = make_request(batch, seed=seed)
    brand = (WANTED_BRAND + torch.arange(batch) // 2 % 2).to(torch.int32)
    past = request.sessions.clone()
    past[..., 1] = brand[:, None, None] * request.sess_valid
    past[..., 2] = CLICKED * request.sess_valid
    return request._replace(sessions=past), brand


def wanted_by_preference(request: RequestTensors, brand: torch.Tensor) -> torch.Tensor:
    """(B, N) bool, candidates of the brand that the user clicked before."""
    return (request.candidates[..., 1] == brand[:, None]) & request.cand_valid


def _with_clicks(request: RequestTensors, wanted: torch.Tensor, seed: int) -> Batch:
    batch, rng = len(wanted), torch.Generator().manual_seed(seed + 1)
    draw = torch.rand(request.cand_valid.shape, generator=rng).masked_fill(~request.cand_valid, -1)
    shown = draw.argsort(dim=1, descending=True)[:, :SLOTS].masked_fill(~request.slot_valid, 0)
    clicks = (wanted.gather(1, shown) & request.slot_valid).float()
    return Batch(
        request=request,
        shown=shown,
        clicks=clicks,
        conversions=torch.zeros_like(clicks),
        conversion_known=torch.zeros_like(request.slot_valid),
        rows=torch.arange(batch),
    )


def wanted_candidates(request: RequestTensors) -> torch.Tensor:
    """(B, N) bool, candidates of the brand that is clicked."""
    return (request.candidates[..., 1] == WANTED_BRAND) & request.cand_valid


def train_briefly(
    net: LearnedRanker,
    *,
    make_training_batch: Callable[..., Batch] = make_batch,
    steps: int = 40,
    batch: int = 64,
    lr: float = 0.02,
) -> None:
    """Train in place for a few steps, each on a new batch."""
    rng = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    net.train()
    for step in range(steps):
        loss = net.loss(make_training_batch(batch, seed=100 + 2 * step), rng)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.eval()


@functools.cache
def trained_evaluator() -> FrozenEvaluator:
    """An evaluator that has learned which brand is clicked; cached."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = NlgrEvaluator(FIELDS, slots=SLOTS, width=8, hidden=16, members=1)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for step in range(60):
        batch = make_batch(64, seed=1000 + 2 * step)
        p_click, p_conversion = net(*restrict_to_shown(batch.request, batch.shown))
        loss = feedback_loss(
            (p_click.squeeze(2), p_conversion.squeeze(2)),
            batch.clicks,
            batch.conversions,
            (batch.request.slot_valid, batch.conversion_known),
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return FrozenEvaluator(net.eval().requires_grad_(False), RewardWeights())


def wanted_hit_rate(ranker: Ranker, *, seed: int = 7) -> float:
    """Share of the possible clicks on new requests that list 0 gets."""
    request = make_request(200, seed=seed)
    lists = ranker.propose(request, 1, torch.Generator().manual_seed(0))[:, 0]
    hit = (wanted_candidates(request).gather(1, lists) & request.slot_valid).sum(dim=1)
    possible = torch.minimum(wanted_candidates(request).sum(dim=1), request.slot_valid.sum(dim=1))
    return float(hit.sum() / possible.sum())


def require_valid_lists(lists: torch.Tensor, request: RequestTensors, num_lists: int) -> None:
    """Assert shape, dtype, valid and unique candidates, and 0 in invalid slots."""
    b, m = request.slot_valid.shape
    assert lists.shape == (b, num_lists, m)
    assert lists.dtype == torch.int64
    for row in range(b):
        slots = request.slot_valid[row]
        for indices in lists[row]:
            items = indices[slots].tolist()
            assert len(set(items)) == len(items)
            assert bool(request.cand_valid[row][indices[slots]].all())
            assert indices[~slots].tolist() == [0] * int((~slots).sum())
