import math
from typing import Any

import pytest
import torch

from model.config.pipeline_config import EvaluatorConfig
from model.nets.blocks.d_attention import DAttention
from model.nets.build import build_evaluator
from model.nets.evaluators.abstract_evaluator import Evaluator
from model.nets.evaluators.context_evaluator import ContextEvaluator
from model.nets.evaluators.nlgr_evaluator import NlgrEvaluator
from model.nets.request_tensors import RequestTensors, restrict_to_shown
from tests.random_requests import TABLE_ROWS, TOY_FIELDS, TOY_SLOTS, input_lists, random_request

SAME = 1e-6  # two orders of the same float32 sums


CLICK_MODELS = ("position", "choice", "cascade")


def evaluator(
    kind: str, members: int = 2, click_models: tuple[str, ...] = CLICK_MODELS
) -> Evaluator:
    torch.manual_seed(0)
    sizes: Any = {"kind": kind, "members": members, "hidden": 8, "dropout": 0.0}
    sizes["click_models"] = click_models
    net = build_evaluator(EvaluatorConfig(**sizes), TOY_FIELDS, TOY_SLOTS)
    with torch.no_grad():
        for weight in net.structural_params():  # they start at zero, where nothing would show
            weight.add_(0.5 * torch.randn_like(weight))
    return net


every_kind = pytest.mark.parametrize("kind", ["nlgr", "context", "pair"])


def test_d_attention_matches_published_formula():
    torch.manual_seed(1)
    fields, width, slots = 3, 8, 4
    net = DAttention(fields, width).requires_grad_(False)
    x = torch.randn(2, slots, fields, width)
    valid = torch.tensor([[True, True, True, True], [True, False, True, False]])

    got = net.embed_lists(net.project(x), valid)

    for b in range(2):
        real = [j for j in range(slots) if valid[b, j]]
        maps = torch.zeros(slots, slots)
        for f in range(fields):
            for i in real:
                score = torch.tensor(
                    [
                        float((x[b, i, f] @ net.query[f]) @ (x[b, j, f] @ net.key[f]))
                        / math.sqrt(width)
                        for j in real
                    ]
                )
                for at, j in enumerate(real):
                    maps[i, j] += torch.softmax(score, 0)[at] / fields
        values = x[b, :, 0] @ net.value
        out = [(maps[i].unsqueeze(-1) * values).sum(dim=0) for i in real]
        expected = torch.stack(out).mean(dim=0)
        assert torch.allclose(got[b], expected, atol=1e-5)


def test_d_attention_of_empty_list_is_zero():
    net = DAttention(2, 4)
    empty = torch.zeros(1, 3, dtype=torch.bool)

    assert torch.equal(
        net.embed_lists(net.project(torch.randn(1, 3, 2, 4)), empty), torch.zeros(1, 4)
    )


@every_kind
@pytest.mark.parametrize("part", ["candidates", "sessions", "slots"])
def test_evaluator_padding_changes_no_value_or_gradient(kind: str, part: str):
    net = evaluator(kind)
    request = random_request(ragged=True)
    lists = input_lists(request).unsqueeze(1)

    def run(given: RequestTensors, shown: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        net.zero_grad()
        p_click, p_conversion = net(given, shown)
        (p_click.sum() + p_conversion.square().sum()).backward()
        return p_click.detach(), [p.grad.clone() for p in net.parameters() if p.grad is not None]

    value, gradient = run(request, lists)
    if part == "candidates":
        rows = torch.where(
            request.cand_valid.unsqueeze(-1), request.candidates, torch.tensor(7, dtype=torch.int32)
        )
        changed, shown = request._replace(candidates=rows), lists
    elif part == "sessions":
        rows = torch.where(
            request.sess_valid.unsqueeze(-1), request.sessions, torch.tensor(7, dtype=torch.int32)
        )
        changed, shown = request._replace(sessions=rows), lists
    else:
        there = request.slot_valid.unsqueeze(1)
        changed, shown = request, torch.where(there, lists, torch.tensor(3))
    other_value, other_gradient = run(changed, shown)

    assert torch.allclose(value, other_value, atol=SAME)
    for one, other in zip(gradient, other_gradient, strict=True):
        assert torch.allclose(one, other, atol=SAME)


@every_kind
def test_embedding_padding_row_gets_no_gradient(kind: str):
    net = evaluator(kind)
    request = random_request()

    net(request, input_lists(request).unsqueeze(1))[0].sum().backward()

    assert net.embedding.weight.grad is not None
    assert torch.equal(net.embedding.weight.grad[0], torch.zeros(net.embedding.weight.shape[1]))
    assert net.embedding.weight.grad[1:].abs().sum() > 0


@every_kind
def test_evaluator_score_is_independent_of_other_candidates(kind: str):
    net = evaluator(kind)
    request = random_request(candidates=7, ragged=False)
    fewer = request._replace(
        candidates=request.candidates[:, :5], cand_valid=request.cand_valid[:, :5]
    )
    lists = torch.tensor([[[0, 1, 2, 3]], [[4, 3, 2, 1]], [[2, 0, 4, 1]]])

    assert torch.allclose(net(request, lists)[0], net(fewer, lists)[0], atol=SAME)


@every_kind
def test_evaluator_with_permuted_batch_permutes_predictions(kind: str):
    net = evaluator(kind)
    request = random_request()
    lists = input_lists(request).unsqueeze(1)
    order = torch.tensor([2, 0, 1])

    shuffled = RequestTensors(*(part[order] for part in request))

    assert torch.allclose(
        net(shuffled, lists[order])[0], net(request, lists)[0][:, order], atol=SAME
    )


@every_kind
def test_evaluator_members_are_independent_nets(kind: str):
    both = evaluator(kind, members=2)
    request = random_request()
    lists = input_lists(request).unsqueeze(1)
    for member in range(2):
        alone = evaluator(kind, members=1, click_models=CLICK_MODELS[member : member + 1])
        alone.load_state_dict(
            {
                name: value.chunk(2, dim=1)[member]
                if name.endswith("embedding.weight")
                else value[member : member + 1]
                for name, value in both.state_dict().items()
            }
        )
        assert torch.allclose(
            alone(request, lists)[0][0], both(request, lists)[0][member], atol=SAME
        )
    assert not torch.allclose(both(request, lists)[0][0], both(request, lists)[0][1])


@every_kind
def test_field_embedding_averages_multiple_values(kind: str):
    net = evaluator(kind, members=1)
    rows = torch.tensor([[5, 9, 11, 20], [5, 9, 0, 20]], dtype=torch.int32)

    fields = net.embedding(rows, net.candidate_fields)[0]

    table = net.embedding.weight
    assert torch.allclose(fields[0, 1], (table[9] + table[11]) / 2)
    assert torch.allclose(fields[1, 1], table[9])
    assert len(table) == TABLE_ROWS


@pytest.mark.parametrize("kind", ["nlgr", "context"])
def test_user_encoder_without_sessions_uses_learned_vector(kind: str):
    net = evaluator(kind, members=1)
    assert isinstance(net, NlgrEvaluator | ContextEvaluator)
    request = random_request(ragged=False)
    nobody = request._replace(sess_valid=torch.zeros_like(request.sess_valid))

    e_u = net.user_encoder(net.embedding, nobody)[0, :, : net.embedding.width]

    assert torch.equal(e_u, net.user_encoder.no_history_embedding[0].expand(3, -1))


@every_kind
def test_restrict_to_shown_keeps_predictions(kind: str):
    net = evaluator(kind)
    request = random_request()
    lists = torch.tensor([[4, 2, 0, 1], [3, 0, 5, 0], [2, 1, 0, 0]])

    whole = net(request, lists.unsqueeze(1))
    narrow = net(*restrict_to_shown(request, lists))

    assert torch.allclose(whole[0], narrow[0], atol=SAME)
    assert torch.allclose(whole[1], narrow[1], atol=SAME)
