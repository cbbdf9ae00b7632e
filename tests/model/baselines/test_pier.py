import torch

from model.baselines.pier import Pier
from model.nets.request_tensors import RequestTensors
from tests.model.baselines.brand_click_data import (
    DIMENSIONS,
    WANTED_BRAND,
    make_request,
    wanted_candidates,
)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_pier_hash_keeps_lists_of_clicked_items():
    net = Pier(DIMENSIONS, num_sampled=200, num_kept=1, hash_bits=512).eval()
    request = with_wanted_brand_history(make_request(60, seed=9, ragged=False))

    kept = net.propose(request, 1, rng())[:, 0]

    wanted = wanted_candidates(request)
    assert float(wanted.gather(1, kept).float().mean()) > 1.3 * float(wanted.float().mean())


def with_wanted_brand_history(request: RequestTensors) -> RequestTensors:
    from_brand = request.sessions.clone()
    from_brand[..., 1] = WANTED_BRAND
    from_brand[..., 2] = DIMENSIONS.clicked_row
    return request._replace(sessions=from_brand)


def test_pier_without_past_clicks_keeps_first_sample():
    request = make_request(6, seed=9, ragged=False)
    never = request.sessions.clone()
    never[..., 2] = DIMENSIONS.clicked_row - 1
    net = Pier(DIMENSIONS, num_sampled=50, num_kept=1).eval()

    lists = net.propose(request._replace(sessions=never), 1, rng())[:, 0]

    assert torch.equal(
        lists, torch.arange(DIMENSIONS.max_slots).expand(6, -1)
    )  # sample 0 is the input list
