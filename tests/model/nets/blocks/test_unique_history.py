import pytest
import torch
from torch import Tensor

from model.nets.blocks.d_attention import DAttention
from model.nets.blocks.field_embedding import FieldEmbedding
from model.nets.blocks.unique_history import UniqueHistory
from model.nets.blocks.user_encoder import UserEncoder
from tests.random_requests import TABLE_ROWS, TOY_FIELDS, random_request

SAME = 1e-5  # the same float32 sums in another order

one_and_two_members = pytest.mark.parametrize("members", [None, 2])


def test_unique_history_deduplicates_and_inverts():
    a, b, c = [1, 2, 3], [1, 3, 2], [0, 0, 0]
    sessions = torch.tensor([[[a, b]], [[c, a]]], dtype=torch.int32)  # (2, 1, 2, 3)

    past = UniqueHistory.from_sessions(sessions)

    assert past.inverse is not None
    assert len(past.rows) == 3
    assert torch.equal(past.rows[past.inverse], sessions)


def test_unique_history_without_sessions_is_empty():
    past = UniqueHistory.from_sessions(torch.zeros(2, 0, 4, 3, dtype=torch.int32))

    assert past.inverse is not None
    assert past.rows.shape == (0, 3)
    assert past.inverse.shape == (2, 0, 4)


@one_and_two_members
def test_embed_indexed_lists_matches_embed_lists(members: int | None):
    torch.manual_seed(0)
    fields, width, items, lists, slots = 3, 4, 7, 503, 5  # more lists than one piece holds
    net = DAttention(fields, width, members=members)
    lead = () if members is None else (members,)
    x = torch.randn(*lead, items, fields, width, requires_grad=True)
    place = torch.randint(0, items, (lists, slots))
    valid = torch.rand(lists, slots) > 0.4
    valid[1] = False
    up = torch.randn(*lead, lists, width)

    def run(e_l: Tensor) -> tuple[Tensor, list[Tensor]]:
        wanted = [x, *net.parameters()]
        return e_l.detach(), list(torch.autograd.grad((e_l * up).sum(), wanted))

    projected = net.project(x)
    at = projected.dim() - 2
    by_slot = projected.index_select(at, place.flatten()).unflatten(at, (lists, slots))
    expected, expected_gradients = run(net.embed_lists(by_slot, valid))
    value, gradients = run(net.embed_indexed_lists(net.project(x), place, valid))

    assert torch.allclose(value, expected, atol=SAME)
    assert torch.equal(value[..., 1, :], torch.zeros(*lead, width))
    for got, wanted in zip(gradients, expected_gradients, strict=True):
        assert torch.allclose(got, wanted, atol=SAME * float(wanted.abs().max()))


@one_and_two_members
def test_user_encoder_with_unique_history_is_unchanged(members: int | None):
    torch.manual_seed(0)
    embedding = FieldEmbedding(TABLE_ROWS, 4, members=members, init_scale=1.0)
    net = UserEncoder(TOY_FIELDS, 4, members=members)
    request = random_request(batch=5)
    sessions = request.sessions.clone()
    sessions[1, 0] = sessions[2, 1]  # two users saw the same list
    request = request._replace(sessions=sessions * request.sess_valid.unsqueeze(-1))

    def run(past: UniqueHistory) -> tuple[Tensor, list[Tensor]]:
        wanted = [embedding.weight, *net.parameters()]
        out = net(embedding, request, (past, embedding(past.rows, net.session_fields)))
        return out.detach(), list(torch.autograd.grad(out.square().sum(), wanted))

    value, gradients = run(UniqueHistory.from_sessions(request.sessions))
    expected, expected_gradients = run(UniqueHistory(request.sessions, None))

    assert torch.allclose(value, expected, atol=SAME)
    for got, wanted in zip(gradients, expected_gradients, strict=True):
        assert torch.allclose(got, wanted, atol=SAME * max(1.0, float(wanted.abs().max())))


def test_expand_to_slots_gathers_item_rows():
    torch.manual_seed(0)
    request = random_request(batch=4)
    embedding = FieldEmbedding(TABLE_ROWS, 4, members=2, init_scale=1.0)
    net = UserEncoder(TOY_FIELDS, 4, members=2)

    def spread(past: UniqueHistory) -> Tensor:
        return past.expand_to_slots(past.flatten_fields(embedding(past.rows, net.session_fields)))

    assert torch.equal(
        spread(UniqueHistory.from_sessions(request.sessions)),
        spread(UniqueHistory(request.sessions, None)),
    )
