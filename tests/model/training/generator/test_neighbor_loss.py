"""The settings of a training step that ablations turn, each against what it must change."""

import math

import pytest
import torch

from model.config.pipeline_config import (
    EvaluatorConfig,
    GeneratorConfig,
    GeneratorTrainingConfig,
    PipelineConfig,
)
from model.config.toml_reader import ConfigError
from model.contract.scoring.objective import RewardWeights
from model.nets.build import build_evaluator, build_generator
from model.nets.generators.replacement_sampling import SamplingNoise, sample_replacements
from model.search.proposals import EditingOptions, propose_and_score_lists
from model.search.rewards import shape_reward
from model.search.scorer import EvaluatorScorer
from model.training.generator.neighbor_loss import NeighborLoss, StepLosses
from tests.random_requests import (
    TOY_FIELDS,
    TOY_SLOTS,
    encoded_request,
    input_lists,
    random_request,
)

MEAN = 2.0


def step(
    training: GeneratorTrainingConfig, *, seed: int = 1
) -> tuple[StepLosses, EvaluatorScorer, torch.Tensor]:
    """One step of the same nets on the same batch, the noise drawn from the same seed."""
    torch.manual_seed(0)
    evaluator = build_evaluator(EvaluatorConfig(hidden=8), TOY_FIELDS, TOY_SLOTS).requires_grad_(
        False
    )
    net = build_generator(GeneratorConfig(hidden=8), EvaluatorConfig(), TOY_FIELDS, TOY_SLOTS)
    request = random_request()
    lists = input_lists(request)
    scorer = EvaluatorScorer(evaluator, request, RewardWeights())
    objective = NeighborLoss(training, MEAN, torch.Generator().manual_seed(seed))
    return objective(net, scorer, lists, 1.0), scorer, lists


def test_without_relative_reward_a_slot_learns_from_the_neighbor_and_not_from_the_gain():
    relative, scorer, lists = step(GeneratorTrainingConfig(cru_loss="straight_through"))
    absolute, _, _ = step(
        GeneratorTrainingConfig(cru_loss="straight_through", relative_reward=False)
    )

    own = shape_reward(scorer(lists.unsqueeze(1)), MEAN)  # r(L), (B, 1)

    valid = scorer.request.slot_valid
    assert torch.allclose((absolute.gain - relative.gain)[valid], own.expand(lists.shape)[valid])


def test_a_share_of_samples_below_one_leaves_the_other_slots_out_of_both_losses():
    none, _, _ = step(GeneratorTrainingConfig(cru_loss="straight_through", samples_per_slot=1e-9))
    every, _, _ = step(GeneratorTrainingConfig(cru_loss="straight_through"))

    assert none.item_loss.abs().sum() == 0
    assert none.slot_loss.abs().sum() == 0
    assert every.item_loss.abs().sum() > 0


def test_several_samples_a_slot_are_averaged():
    once, _, _ = step(GeneratorTrainingConfig(cru_loss="straight_through", samples_per_slot=1.0))
    often, _, _ = step(GeneratorTrainingConfig(cru_loss="straight_through", samples_per_slot=50.0))
    again, _, _ = step(GeneratorTrainingConfig(cru_loss="straight_through", samples_per_slot=40.0))

    # 50 and 40 draws estimate the same mean, one draw is far noisier
    assert (often.item_loss - again.item_loss).abs().mean() < (
        often.item_loss - once.item_loss
    ).abs().mean()


def test_a_few_slots_a_step_estimate_the_expectation_over_all():
    every, _, _ = step(GeneratorTrainingConfig(cru_loss="expected"))
    few = [
        step(GeneratorTrainingConfig(cru_loss="expected", expected_loss_slots=2), seed=seed)[0]
        for seed in range(400)
    ]

    mean = torch.stack([one.item_loss for one in few]).mean(dim=0)
    whole = torch.stack([one.slot_loss for one in few]).mean(dim=0)
    assert torch.allclose(mean, every.item_loss, rtol=0.2)  # rows have four, three and two slots
    assert (whole > 0).all()  # every slot's own neighbor still teaches the PDU


@pytest.mark.parametrize("who", ["cru", "uniform", "popularity"])
def test_replacements_are_drawn_by_whom_the_config_names(who: str):
    torch.manual_seed(0)
    net = build_generator(GeneratorConfig(hidden=8), EvaluatorConfig(), TOY_FIELDS, TOY_SLOTS)
    request = random_request()
    lists = input_lists(request)
    (b, m), n = lists.shape, request.cand_valid.shape[1]
    favorite = torch.full((b, n), -50.0)
    favorite[:, 1] = 50.0  # candidate 1 is there in every row
    blind = torch.full((b, m), who != "cru")
    noise = torch.zeros(b, m, n)
    noise[..., 0] = 1.0  # without a prior, candidate 0 wins the blind draw
    draw = SamplingNoise(noise, blind, favorite if who == "popularity" else None)

    made = sample_replacements(
        net, net.encode(request, encoded_request(request)), request, lists, draw
    )

    expected = {"cru": made.noisy_item_logits.argmax(dim=-1), "uniform": 0, "popularity": 1}[who]
    assert torch.equal(made.replacements, torch.as_tensor(expected).expand(b, m))


def test_editing_in_order_takes_one_slot_after_the_other():
    torch.manual_seed(0)
    evaluator = build_evaluator(EvaluatorConfig(hidden=8), TOY_FIELDS, TOY_SLOTS)
    net = build_generator(
        GeneratorConfig(hidden=8, starts_from_relevance_order=False),
        EvaluatorConfig(),
        TOY_FIELDS,
        TOY_SLOTS,
    )
    request = random_request(32)
    scorer = EvaluatorScorer(evaluator, request, RewardWeights())
    given = input_lists(request)

    for edits in (1, 2):
        how = EditingOptions(edits=edits, num_lists=1, left_to_right=True)
        made = propose_and_score_lists(net, scorer, how).lists[:, 0]
        # whoever came into a slot that no edit took was swapped there from one that was taken
        changed = (made != given) & request.slot_valid
        for row in range(len(made)):
            moved = changed[row].nonzero().flatten().tolist()
            late = [j for j in moved if j >= edits]
            assert all(made[row, j] in given[row, :edits] for j in late)
    assert not bool((made == given).all())


def test_the_steepness_of_the_shaped_reward_is_k1_above_the_mean_and_k2_below():
    w = torch.tensor([1.5, 0.5])

    r = shape_reward(w * MEAN, MEAN, above=2.0, below=3.0)

    assert r.tolist() == pytest.approx([math.exp(2.0 * 0.5) - 1, 1 - math.exp(3.0 * 0.5)])


@pytest.mark.parametrize("wrong", [{"replacement": "guess"}, {"samples_per_slot": 0.0}])
def test_a_setting_that_means_nothing_is_named(wrong: dict[str, object]):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        PipelineConfig.from_mapping({"train_generator": wrong})
