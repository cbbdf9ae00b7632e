import pytest
import torch

from model.config.pipeline_config import EvaluatorConfig
from model.nets.build import build_evaluator, init_from_evaluator
from model.nets.evaluators.nlgr_evaluator import NlgrEvaluator
from model.nets.generators.abstract_generator import Generator
from model.nets.generators.edit_inputs import EditInputs
from model.nets.generators.list_editing import edit_step, initial_edit_state, to_candidate_indices
from model.nets.generators.list_editing import encode_and_edit as propose_from
from model.nets.generators.nlgr_generator import NlgrGenerator
from model.nets.request_tensors import RequestTensors
from model.nets.rule_counts import RuleTensors
from tests.random_requests import (
    TOY_FIELDS,
    TOY_SLOTS,
    encoded_request,
    input_lists,
    random_request,
    small_generator,
)

EDITS, LISTS = 4, 16


@pytest.fixture(params=["nlgr", "guided"])
def net(request: pytest.FixtureRequest) -> Generator:
    """Both kinds edit by the same rules, from the list that is given."""
    return small_generator(request.param)


@pytest.fixture(params=[False, True], ids=["from the input list", "from an own order"])
def own_order(request: pytest.FixtureRequest) -> bool:
    """Where editing begins."""
    return bool(request.param)


def propose(
    net: Generator,
    request: RequestTensors,
    start: EditInputs,
    rules: RuleTensors | None = None,
    *,
    stop_on_no_change: bool = False,
) -> torch.Tensor:
    known = encoded_request(request)
    return propose_from(net, request, known, start, rules, stop_on_no_change=stop_on_no_change)


def start_of(
    request: RequestTensors, *, seed: int = 0, scale: float = 3.0, own_order: bool = False
) -> EditInputs:
    rng = torch.Generator().manual_seed(seed)
    b, n = request.cand_valid.shape
    given = input_lists(request)
    return EditInputs(
        given,
        request.slot_valid,
        scale * torch.randn(b, LISTS, EDITS, TOY_SLOTS, generator=rng),
        scale * torch.randn(b, LISTS, EDITS, n, generator=rng),
        torch.rand(b, n, generator=rng) if own_order else None,
    )


def shown(request: RequestTensors, lists: torch.Tensor, b: int, k: int) -> list[int]:
    return lists[b, k][request.slot_valid[b]].tolist()


def test_edit_lists_returns_distinct_valid_candidates(net: Generator, own_order: bool):
    request = random_request(batch=6, candidates=6)

    lists = propose(net, request, start_of(request, own_order=own_order))

    changed = 0
    for b in range(6):
        for k in range(LISTS):
            items = shown(request, lists, b, k)
            assert len(set(items)) == len(items)
            assert all(request.cand_valid[b, i] for i in items)
            changed += items != list(range(len(items)))
    assert changed > 6 * LISTS / 2  # the noise does make lists differ


def test_edit_lists_without_spare_candidates_only_swaps(net: Generator, own_order: bool):
    request = random_request(batch=3, candidates=TOY_SLOTS, ragged=False)

    lists = propose(net, request, start_of(request, own_order=own_order))

    assert torch.equal(
        lists.sort(dim=-1).values, torch.arange(TOY_SLOTS).expand(3, LISTS, TOY_SLOTS)
    )
    assert (lists != torch.arange(TOY_SLOTS)).any()


def test_edit_lists_keeps_pinned_items(net: Generator, own_order: bool):
    request = random_request(batch=3, ragged=False)
    start = start_of(request, own_order=own_order)
    editable = torch.ones(3, TOY_SLOTS, dtype=torch.bool)
    editable[0, 1] = editable[1, 3] = editable[2, 0] = False

    lists = propose(net, request, start._replace(editable=editable))

    for b, slot in ((0, 1), (1, 3), (2, 0)):
        assert (lists[b, :, slot] == slot).all()
        others = [j for j in range(TOY_SLOTS) if j != slot]
        assert (lists[b][:, others] != slot).all()
        assert (lists[b] != input_lists(request)[b]).any()


def test_edit_lists_with_all_pinned_changes_nothing(net: Generator, own_order: bool):
    request = random_request(batch=2, ragged=False)
    start = start_of(request, own_order=own_order)._replace(
        editable=torch.zeros(2, TOY_SLOTS, dtype=torch.bool)
    )

    assert (propose(net, request, start) == start.input_list.unsqueeze(1)).all()


def test_edit_lists_keeps_satisfied_rules(net: Generator, own_order: bool):
    request = random_request(batch=2, candidates=7, ragged=False)
    member = torch.zeros(2, 3, 7, dtype=torch.bool)
    member[:, 0, [0, 4, 5]] = True  # at most one of these
    member[:, 1, [1, 2]] = True  # at least one of these
    member[0, 2, [3, 6]] = True  # window: none of these in the first two slots
    slots = torch.ones(2, 3, TOY_SLOTS, dtype=torch.bool)
    slots[:, 2, 2:] = False
    rules = RuleTensors(
        member,
        slots,
        torch.tensor([[0.0, 1.0, 0.0]]).expand(2, 3),
        torch.tensor([[1.0, 4.0, 0.0]]).expand(2, 3),
    )

    free = propose(net, request, start_of(request, own_order=own_order))
    bound = propose(net, request, start_of(request, own_order=own_order), rules)

    def breaks(lists: torch.Tensor) -> int:
        broken = 0
        for b in range(2):
            for k in range(LISTS):
                items = shown(request, lists, b, k)
                counts = [
                    sum(bool(member[b, r, i]) for j, i in enumerate(items) if slots[b, r, j])
                    for r in range(3)
                ]
                broken += counts[0] > 1 or counts[1] < 1 or counts[2] > 0
        return broken

    assert breaks(free) > 0  # without the rules some lists break them
    assert breaks(bound) == 0
    assert (bound != start_of(request, own_order=own_order).input_list.unsqueeze(1)).any()


def test_edit_lists_with_loose_rules_changes_nothing(net: Generator, own_order: bool):
    request = random_request(batch=3)
    everywhere = torch.ones(3, 1, TOY_SLOTS, dtype=torch.bool)
    rules = RuleTensors(
        torch.ones(3, 1, 7, dtype=torch.bool),
        everywhere,
        torch.zeros(3, 1),
        torch.full((3, 1), float(TOY_SLOTS)),
    )

    assert torch.equal(
        propose(net, request, start_of(request, own_order=own_order)),
        propose(net, request, start_of(request, own_order=own_order), rules),
    )


def test_edit_step_without_change_closes_slot(net: Generator):
    request = random_request(batch=2, ragged=False)
    start = start_of(request)
    slot = torch.zeros_like(start.noise_slot)
    item = torch.full_like(start.noise_item, -100.0)
    slot[..., 0] = 100.0  # every edit wants slot 0,
    item[:, :, 0, 0], item[:, :, 1:, 5] = 100.0, 100.0  # which first keeps 0; then comes 5

    lists = propose(net, request, start._replace(noise_slot=slot, noise_item=item))

    assert (lists[..., 0] == 0).all()
    assert (lists[..., 1:] == 5).any(dim=-1).all()


def test_stop_on_no_change_ends_list_editing(net: Generator):
    request = random_request(batch=2, ragged=False)
    start = start_of(request)
    slot = torch.full_like(start.noise_slot, -100.0)
    item = torch.full_like(start.noise_item, -100.0)
    slot[:, :, 0, 0], item[:, :, 0, 0] = 100.0, 100.0  # edit 0: slot 0 keeps candidate 0
    slot[:, :, 1:, 1], item[:, :, 1:, 5] = 100.0, 100.0  # then slot 1 takes candidate 5
    begin = start._replace(noise_slot=slot, noise_item=item)

    goes_on = propose(net, request, begin)
    ends = propose(net, request, begin, stop_on_no_change=True)

    assert (goes_on == 5).any(dim=-1).all()
    assert (ends == start.input_list.unsqueeze(1)).all()


@pytest.mark.parametrize(
    ("item", "expected"),
    [(5, [0, 5, 2, 3]), (3, [0, 3, 2, 1]), (1, [0, 1, 2, 3])],
    ids=["replacement", "swap", "no change"],
)
def test_edit_step_is_replacement_or_swap(net: Generator, item: int, expected: list[int]):
    request = random_request(batch=2, ragged=False)
    state = net.encode(request, encoded_request(request))
    before = initial_edit_state(request, input_lists(request), request.slot_valid)
    slot, items = torch.full((2, 1, TOY_SLOTS), -100.0), torch.full((2, 1, 7), -100.0)
    slot[..., 1], items[..., item] = 100.0, 100.0  # slot 1 takes this item

    after = edit_step(net, state, before, slot_noise=slot, item_noise=items)

    assert to_candidate_indices(request, after).tolist() == [[expected], [expected]]


def test_edit_lists_with_permuted_batch_permutes_results(net: Generator, own_order: bool):
    request = random_request(batch=3)
    start = start_of(request, own_order=own_order)
    order = torch.tensor([1, 2, 0])

    shuffled = propose(
        net,
        RequestTensors(*(part[order] for part in request)),
        EditInputs(
            start.input_list[order],
            start.editable[order],
            start.noise_slot[order],
            start.noise_item[order],
            None if start.relevance_scores is None else start.relevance_scores[order],
        ),
    )

    assert torch.equal(shuffled, propose(net, request, start)[order])


def test_edit_lists_with_padded_candidates_is_unchanged(net: Generator, own_order: bool):
    request = random_request(batch=3, candidates=6, ragged=False)
    start = start_of(request, own_order=own_order)
    wider = request._replace(
        candidates=torch.cat([request.candidates, torch.zeros(3, 4, 4, dtype=torch.int32)], dim=1),
        cand_valid=torch.cat([request.cand_valid, torch.zeros(3, 4, dtype=torch.bool)], dim=1),
    )
    loud = start._replace(
        noise_item=torch.cat([start.noise_item, torch.full((3, LISTS, EDITS, 4), 50.0)], dim=-1),
        relevance_scores=None
        if start.relevance_scores is None
        else torch.cat([start.relevance_scores, torch.full((3, 4), 50.0)], dim=-1),
    )

    assert torch.equal(propose(net, request, start), propose(net, wider, loud))


def test_init_from_evaluator_copies_first_member():
    torch.manual_seed(3)
    evaluator = build_evaluator(EvaluatorConfig(kind="nlgr", members=2), TOY_FIELDS, TOY_SLOTS)
    assert isinstance(evaluator, NlgrEvaluator)
    net = small_generator()
    assert isinstance(net, NlgrGenerator)

    init_from_evaluator(net, evaluator)

    request = random_request()
    mine = net.user_encoder(net.embedding, request)
    theirs = evaluator.user_encoder(evaluator.embedding, request)[0]
    assert torch.allclose(mine, theirs, atol=1e-6)
