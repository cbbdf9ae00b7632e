import math

import pytest
import torch
from torch import Tensor

from model.config.pipeline_config import ClickModelName, EvaluatorConfig, GeneratorConfig
from model.nets.blocks.layers import gather_lists
from model.nets.build import build_evaluator, build_generator, init_from_evaluator
from model.nets.evaluators.pair_evaluator import PairEvaluator, encode_pairs_for_export
from model.nets.evaluators.slot_interactions import SlotInteractions
from model.nets.field_layout import FieldLayout
from model.nets.generators.nlgr_generator import NlgrGenerator
from model.nets.request_tensors import RequestTensors
from tests.random_requests import TABLE_ROWS, TOY_FIELDS, TOY_SLOTS, input_lists, random_request

SAME = 1e-5  # the same float32 sums in another order


def pair_evaluator(
    fields: FieldLayout = TOY_FIELDS,
    members: int = 1,
    *,
    item_interactions: bool = True,
    click_models: tuple[ClickModelName, ...] = ("position", "choice", "cascade"),
) -> PairEvaluator:
    """A net whose structural weights, which start at zero, are all somewhere else."""
    torch.manual_seed(0)
    config = EvaluatorConfig(
        kind="pair",
        members=members,
        hidden=8,
        factor_width=3,
        item_interactions=item_interactions,
        click_models=click_models,
    )
    net = build_evaluator(config, fields, TOY_SLOTS).eval()
    assert isinstance(net, PairEvaluator)
    with torch.no_grad():
        for weight in [*net.structural_params(), *net.pair_residual_params()]:
            weight.add_(0.5 * torch.randn_like(weight))
    return net.requires_grad_(False)


def interactions(net: PairEvaluator) -> SlotInteractions:
    assert net.interactions is not None
    return net.interactions


def relevance(net: PairEvaluator, request: RequestTensors) -> Tensor:
    """(B, N) logit of a click in no list at all."""
    return net.encode(request).candidates[0, ..., 0]


def cosines(net: PairEvaluator, rows: Tensor) -> Tensor:
    """(M, M, h) cosine in each field that sessions keep, but the id: here the one of two values."""
    kinds = interactions(net).similarity_embedding(rows, net.candidate_fields)[0, :, 1:2]
    unit = kinds / kinds.norm(dim=-1, keepdim=True)
    return torch.einsum("jhk,lhk->jlh", unit, unit)


def test_pair_evaluator_sums_relevance_and_pair_effects():
    net = pair_evaluator()
    request = random_request(ragged=False)
    lists = torch.tensor([[0, 1, 2, 3], [4, 2, 6, 0], [1, 5, 3, 2]])

    got, _ = net(request, lists.unsqueeze(1))

    encoded = net.encode(request).candidates[0]
    for b in range(3):
        r, messages = (
            encoded[b, lists[b], 0],
            encoded[b, lists[b], 2 : 2 + interactions(net).messages],
        )
        alike = cosines(net, request.candidates[b, lists[b]])
        for j in range(TOY_SLOTS):
            logit = float(r[j])
            examined = float(net.examination_logits[0, j])
            for other in set(range(TOY_SLOTS)) - {j}:
                logit += float(interactions(net).contrast_weights[0, :, j, other] @ messages[other])
                logit += float(
                    interactions(net).similarity_weights[0, :, j, other] @ alike[j, other]
                )
                examined += float(
                    interactions(net).examination_weights[0, :, j, other] @ messages[other]
                )
            expected = 1 / (1 + math.exp(-logit)) / (1 + math.exp(-examined))
            assert float(got[0, b, 0, j]) == pytest.approx(expected, abs=SAME)


def test_item_messages_are_bounded_at_extreme_relevance():
    net = pair_evaluator(members=3)
    relevance = torch.tensor([-1e4, -5.0, 0.0, 1e4]).view(1, 1, 4, 1).expand(3, -1, -1, -1)

    messages = interactions(net).item_messages(
        relevance, torch.zeros(3, 1, 4, interactions(net).messages - 1)
    )

    assert messages.abs().max() <= 1.0
    assert (messages[..., 1, 0] != messages[..., 2, 0]).all()  # it still depends on relevance


def test_pair_evaluator_padded_slot_has_no_effect():
    net = pair_evaluator()
    request = random_request(ragged=False)
    shorter = torch.ones_like(request.slot_valid)
    shorter[:, 3] = False
    request = request._replace(slot_valid=shorter)

    one, _ = net(request, torch.tensor([[[0, 1, 2, 3]]] * 3))
    other, _ = net(request, torch.tensor([[[0, 1, 2, 6]]] * 3))

    assert torch.allclose(one, other, atol=SAME)
    assert torch.equal(one[..., 3], torch.zeros_like(one[..., 3]))


def test_pair_evaluator_relevance_contains_factor_products():
    net = pair_evaluator()
    request = random_request(ragged=False)
    before = relevance(net, request)

    net.factor_embedding.weight.zero_()
    without_factors = relevance(net, request)
    net.bias_embedding.weight.zero_()
    without_bias = relevance(net, request)

    torch.manual_seed(0)
    net = pair_evaluator()  # the same weights again
    for b in range(3):
        own = net.bias_embedding(request.user[b], net.user_fields)[0].sum()
        taste = net.factor_embedding(request.user[b], net.user_fields)[0].sum(dim=0)
        for n in range(7):
            products = (
                net.factor_embedding(request.candidates[b, n], net.candidate_fields)[0] @ taste
            )
            expected = float((products * net.factor_weights[0, 0, 0]).sum())
            assert float(before[b, n] - without_factors[b, n]) == pytest.approx(expected, abs=SAME)
            biases = (
                own + net.bias_embedding(request.candidates[b, n], net.candidate_fields)[0].sum()
            )
            gone = float(without_factors[b, n] - without_bias[b, n])
            assert gone == pytest.approx(float(biases), abs=SAME)


def test_user_item_affinity_uses_item_fields_only():
    net = pair_evaluator(members=2)
    request = random_request(ragged=False)
    other = request.candidates.clone()
    other[..., 3] = 7  # the field of the candidate alone

    affinity = net.user_item_affinity(request)

    assert torch.equal(affinity, net.user_item_affinity(request._replace(candidates=other)))
    for b in range(3):
        taste = net.factor_embedding(request.user[b], net.user_fields).sum(dim=1)  # (E, K)
        for n in range(7):
            factors = net.factor_embedding(request.candidates[b, n], net.candidate_fields)[:, :2]
            biases = net.bias_embedding(request.candidates[b, n], net.candidate_fields)[:, :2].sum(
                dim=(1, 2)
            )
            own = net.bias_embedding(request.user[b], net.user_fields).sum(dim=(1, 2))
            products = (factors @ taste.unsqueeze(-1)).squeeze(-1) * net.factor_weights[:, 0, 0, :2]
            expected = products.sum(dim=1) + biases + own
            assert torch.allclose(affinity[:, b, n], expected, atol=SAME)


def test_list_effects_exclude_single_item_relevance():
    net = pair_evaluator(members=2, click_models=("position",))
    request = random_request(ragged=False)
    encoded = net.encode(request)
    shown = gather_lists(encoded.candidates, input_lists(request).unsqueeze(1))

    added = net.list_effects(encoded, shown, request.slot_valid)
    with torch.no_grad():
        for weights in (interactions(net).pair_residuals, interactions(net).distance_weights):
            weights[
                :, interactions(net).messages : 2 * interactions(net).messages
            ].zero_()  # those of examination
    p_click, _ = net.score(encoded, shown, request.slot_valid)

    examined = torch.sigmoid(net.examination_logits)[:, None, None]
    assert torch.allclose(p_click, examined * torch.sigmoid(shown[..., 0] + added), atol=SAME)
    assert added.abs().min() > 0


def test_pair_evaluator_without_interactions_scores_independently():
    net = pair_evaluator(members=2, item_interactions=False)
    request = random_request(ragged=False)
    lists = torch.tensor([[0, 1, 2, 3], [0, 6, 5, 4]]).expand(3, -1, -1)

    p_click, _ = net(request, lists)
    with_others, _ = pair_evaluator(members=2)(request, lists)

    assert torch.equal(p_click[:, :, 0, 0], p_click[:, :, 1, 0])
    assert (p_click[:, :, 0, 1:] != p_click[:, :, 1, 1:]).all()
    assert (with_others[:, :, 0, 0] != with_others[:, :, 1, 0]).all()


def test_similarity_without_item_fields_uses_id():
    fields = FieldLayout(
        num_embeddings=TABLE_ROWS,
        candidate=((0, 1), (1, 1)),  # id, and a field that sessions do not keep
        session=((0, 1), (1, 1), (2, 1)),
        user=((0, 1),),
    )
    net = pair_evaluator(fields)
    request = random_request(ragged=False)
    request = request._replace(
        candidates=request.candidates[..., :2],
        sessions=request.sessions[..., :3],
        user=request.user[:, :1],
    )

    assert interactions(net).similarity_weights.shape == (1, 1, TOY_SLOTS, TOY_SLOTS)
    assert net(request, input_lists(request).unsqueeze(1))[0].isfinite().all()


def test_pair_evaluator_parameter_groups_are_disjoint():
    net = pair_evaluator()
    tables, structure = [*net.embedding_params(), *net.bias_params()], net.structural_params()
    deviations = net.pair_residual_params()

    assert {len(p) for p in tables} == {TABLE_ROWS}
    groups = [{id(p) for p in group} for group in (tables, structure, deviations)]
    assert len(set.union(*groups)) == sum(len(group) for group in groups)
    assert sum(p.numel() for p in (*structure, *deviations)) < 300


def test_pair_weights_share_distance_plus_residual():
    net = pair_evaluator(members=2)

    with torch.no_grad():
        interactions(net).pair_residuals.zero_()

    for weights in (
        interactions(net).contrast_weights,
        interactions(net).examination_weights,
        interactions(net).similarity_weights,
    ):
        assert torch.equal(weights[..., 0, 1], weights[..., 2, 3])  # the next one below
        assert torch.equal(weights[..., 2, 0], weights[..., 3, 1])  # two above
        assert (weights[..., 0, 1] != weights[..., 1, 0]).all()
        assert (weights[..., 0, 1] != weights[..., 0, 2]).all()
        assert (weights[..., range(TOY_SLOTS), range(TOY_SLOTS)] == 0).all()


@pytest.mark.parametrize("slots", [1, 4, 25, 100])
def test_far_slots_share_weights_that_average(slots):
    net = build_evaluator(EvaluatorConfig(), TOY_FIELDS, slots)
    assert isinstance(net, PairEvaluator)

    with torch.no_grad():
        interactions(net).distance_weights.fill_(1.0)
    total = interactions(net).contrast_weights.sum(dim=-1)  # (E, w, j) of messages that are all 1

    assert interactions(net).distance_weights.shape[-1] <= 20
    assert (
        total.max() <= interactions(net).distance_weights.shape[-1]
    )  # a weight for each bucket, at most
    if slots > 1:
        assert (
            interactions(net).contrast_weights[..., 0, -1] > 0
        ).all()  # the last slot still has an effect


def test_init_from_pair_evaluator_copies_embeddings_only():
    config = EvaluatorConfig(kind="pair", members=2, hidden=8)
    evaluator = build_evaluator(config, TOY_FIELDS, TOY_SLOTS)
    generator = build_generator(
        GeneratorConfig(kind="nlgr", hidden=8), config, TOY_FIELDS, TOY_SLOTS
    )
    assert isinstance(evaluator, PairEvaluator)
    assert isinstance(generator, NlgrGenerator)
    before = generator.user_encoder.no_history_embedding.clone()

    init_from_evaluator(generator, evaluator)

    width = generator.width
    assert torch.equal(generator.embedding.weight, evaluator.embedding.weight[:, :width])
    assert torch.equal(generator.user_encoder.no_history_embedding, before)


def test_scale_click_logits_keeps_examination():
    net = pair_evaluator(members=3)
    request = random_request(ragged=False)
    encoded = net.encode(request)
    shown = gather_lists(encoded.candidates, input_lists(request).unsqueeze(1))
    weight = request.slot_valid.unsqueeze(1).float()
    effects = interactions(net)(shown, weight)
    logits = (shown[..., 0] + effects[0]).clone()
    outside = net.click_heads.outside_logit.clone()

    net.scale_click_logits(1.7)
    encoded = net.encode(request)
    again = gather_lists(encoded.candidates, input_lists(request).unsqueeze(1))
    scaled = interactions(net)(again, weight)

    assert torch.allclose(again[..., 0] + scaled[0], 1.7 * logits, atol=1e-4)
    assert torch.allclose(scaled[1], effects[1], atol=SAME)  # of examination
    assert torch.allclose(net.click_heads.outside_logit, 1.7 * outside)


EXPORT_TOLERANCE = 1e-5  # float32 sums in another order


@pytest.mark.parametrize("item_interactions", [True, False])
def test_encode_for_export_matches_encode(item_interactions: bool):
    torch.manual_seed(0)
    config = EvaluatorConfig(
        kind="pair", hidden=8, members=3, factor_width=4, item_interactions=item_interactions
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

    assert learned.candidates.std() > 0.1
    assert torch.allclose(graph.candidates, learned.candidates, atol=EXPORT_TOLERANCE)
    assert (graph.context == learned.context).all()  # zeros
