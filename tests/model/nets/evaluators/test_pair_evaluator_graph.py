"""The encoding that graphs run says what the one that learns says."""

import pytest
import torch

from model.config.pipeline_config import EvaluatorConfig
from model.nets.build import build_evaluator
from model.nets.evaluators.pair_evaluator import PairEvaluator
from model.nets.evaluators.pair_evaluator_graph import encode_pairs_for_export
from tests.random_requests import TOY_FIELDS, TOY_SLOTS, random_request

TOLERANCE = 1e-5  # float32 sums in another order


@pytest.mark.parametrize("item_interactions", [True, False])
def test_encode_for_export_matches_encode(item_interactions: bool):
    torch.manual_seed(0)
    config = EvaluatorConfig(
        kind="pair", hidden=8, members=2, factor_width=4, item_interactions=item_interactions
    )
    net = build_evaluator(config, TOY_FIELDS, TOY_SLOTS).eval()
    assert isinstance(net, PairEvaluator)
    for parameter in net.parameters():  # the padding row of each table among them
        torch.nn.init.normal_(parameter, std=0.3)
    request = random_request()
    request.sess_valid[1] = False  # a user without sessions
    request.candidates[0, 2, 1:3] = 0  # an item without values in a field of several

    with torch.no_grad():
        learned, graph = net.encode(request), encode_pairs_for_export(net, request)

    assert learned.candidates.std() > 0.1  # there was something to compare
    assert torch.allclose(graph.candidates, learned.candidates, atol=TOLERANCE)
    assert (graph.context == learned.context).all()  # both say nothing, for every request
