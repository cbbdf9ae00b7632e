"""One encoder for both published nets."""

import torch

from model.config.pipeline_config import EvaluatorConfig
from model.nets.build import build_evaluator
from model.nets.evaluators.nlgr_evaluator import NlgrEvaluator
from model.nets.generators.nlgr_generator import NlgrGenerator
from model.nets.generators.nlgr_joint_encoder import NlgrJointEncoder
from tests.random_requests import TOY_FIELDS, TOY_SLOTS, random_request, small_generator

TOLERANCE = 1e-6


def test_joint_encoder_matches_separate_encoding():
    torch.manual_seed(1)
    evaluator = build_evaluator(
        EvaluatorConfig(kind="nlgr", members=2), TOY_FIELDS, TOY_SLOTS
    ).eval()
    generator = small_generator("nlgr")
    assert isinstance(evaluator, NlgrEvaluator)
    assert isinstance(generator, NlgrGenerator)
    request = random_request()
    request.sess_valid[1] = False  # a user without sessions

    with torch.no_grad():
        x, user = NlgrJointEncoder(evaluator, generator)(request)
        theirs = evaluator.embedding(request.candidates, TOY_FIELDS.candidate)  # (E, B, N, F, D)
        its = generator.embedding(request.candidates, TOY_FIELDS.candidate)
        users = [*evaluator.user_encoder(evaluator.embedding, request)]
        users.append(generator.user_encoder(generator.embedding, request))

    every = torch.cat([theirs, its.unsqueeze(0)]).flatten(1, 2)
    assert torch.allclose(x, every, atol=TOLERANCE)
    assert torch.allclose(user, torch.stack(users), atol=TOLERANCE)
