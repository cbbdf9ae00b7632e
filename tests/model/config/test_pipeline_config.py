import dataclasses
from pathlib import Path

import pytest

from model.config.pipeline_config import (
    DEFAULT_REFINE_ROUNDS,
    EMBEDDING_DECAY_AT_10K_LISTS,
    PipelineConfig,
)
from model.config.toml_reader import ConfigError

CONFIGS = sorted((Path(__file__).parents[3] / "model" / "config" / "presets").glob("*.toml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_configuration_is_read(path: Path):
    config = PipelineConfig.from_toml(path)

    assert PipelineConfig.from_mapping(config.to_mapping()) == config


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({"evaluater": {}}, "unknown key 'evaluater'"),
        ({"evaluator": {"hiden": 3}}, "unknown key 'hiden'"),
        ({"evaluator": {"hidden": "3"}}, "'3' is not int"),
        ({"evaluator": {"hidden": True}}, "True is not int"),
        ({"evaluator": {"hidden": 0}}, "must be at least 1"),
        ({"evaluator": {"kind": "magic"}}, "is not one of nlgr, context, pair"),
        ({"evaluator": 3}, "is a table"),
        ({"train_evaluator": {"embedding_decay": -0.1}}, "embedding_decay=-0.1 is negative"),
        (
            {"train_evaluator": {"min_steps_per_epoch": 0}},
            "min_steps_per_epoch=0 must be at least 1",
        ),
        ({"train_evaluator": {"slot_bias_weight": -1.0}}, "slot_bias_weight=-1.0 is negative"),
        (
            {"train_evaluator": {"sampled_softmax_weight": -0.1}},
            "sampled_softmax_weight=-0.1 is negative",
        ),
        ({"objective": {"discount": -0.5}}, "discount=-0.5 is negative"),
        ({"serving": {"refine_rounds": -1}}, "refine_rounds=-1 is negative"),
        (
            {"evaluator": {"kind": "context"}, "serving": {"refine_rounds": 2}},
            "refine_rounds=2 needs evaluator.kind='pair'",
        ),
        ({"train_generator": {"input_list_share": 1.2}}, "input_list_share=1.2 is not in"),
        ({"train_generator": {"cru_loss": "magic"}}, "is not one of straight_through"),
    ],
)
def test_a_wrong_key_or_value_is_refused_by_name(raw: dict[str, object], says: str):
    with pytest.raises(ConfigError, match=says):
        PipelineConfig.from_mapping(raw)


def test_an_unreadable_file_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"absent\.toml"):
        PipelineConfig.from_toml(tmp_path / "absent.toml")


def test_the_paper_stays_what_it_is_whatever_the_product_ships():
    nlgr = PipelineConfig.from_toml(Path("model/config/presets/nlgr.toml"))

    assert (nlgr.evaluator.kind, nlgr.generator.kind) == ("nlgr", "nlgr")
    assert (nlgr.evaluator.members, nlgr.evaluator.hidden, nlgr.evaluator.width) == (1, 64, 8)
    assert (nlgr.generator.hidden, nlgr.generator.edits) == (64, 4)
    assert nlgr.generator.stop_on_no_change
    for training in (nlgr.train_evaluator, nlgr.train_generator):
        assert (training.lr, training.max_batch_size) == (1e-3, 1024)
    assert [nlgr.train_evaluator.batch_size(n) for n in (10, 1000, 90_000)] == [1, 20, 1024]
    evaluator = nlgr.train_evaluator
    assert (evaluator.ema_decay, evaluator.weight_decay, evaluator.embedding_decay) == (
        0.0,
        0.0,
        0.0,
    )
    assert not evaluator.temperature_scaling
    assert (nlgr.train_generator.cru_loss, nlgr.train_generator.lr_decay_share) == (
        "straight_through",
        0.0,
    )
    assert (nlgr.serving.risk_aversion, nlgr.objective.discount) == (0.0, 0.0)
    assert nlgr.serving.refine_rounds == 0


def test_the_more_lists_are_learned_from_the_less_embeddings_decay():
    training = PipelineConfig.from_toml(None).train_evaluator

    assert training.effective_embedding_decay(10_000) == EMBEDDING_DECAY_AT_10K_LISTS
    assert training.effective_embedding_decay(40_000) == pytest.approx(
        EMBEDDING_DECAY_AT_10K_LISTS / 2
    )
    assert training.effective_embedding_decay(0) == pytest.approx(
        EMBEDDING_DECAY_AT_10K_LISTS * 100
    )  # of an empty log, finite
    assert (
        dataclasses.replace(training, embedding_decay=0.7).effective_embedding_decay(40_000) == 0.7
    )


def test_lists_are_refined_where_the_evaluator_allows_it_unless_told_otherwise():
    kinds: dict[str, dict[str, object]] = {k: {"kind": k} for k in ("nlgr", "context", "pair")}

    rounds = {
        k: PipelineConfig.from_mapping({"evaluator": e}).refine_rounds for k, e in kinds.items()
    }
    off = PipelineConfig.from_mapping({"serving": {"refine_rounds": 0}})

    assert rounds == {"nlgr": 0, "context": 0, "pair": DEFAULT_REFINE_ROUNDS}
    assert off.refine_rounds == 0


def test_without_a_file_what_wins_is_trained():
    config = PipelineConfig.from_toml(None)

    assert (config.evaluator.kind, config.generator.kind) == ("pair", "guided")
    assert config.evaluator.members > 1
