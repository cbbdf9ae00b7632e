import dataclasses
import math
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
def test_preset_from_toml_round_trips(path: Path):
    config = PipelineConfig.from_toml(path)

    assert PipelineConfig.from_mapping(config.to_mapping()) == config


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"evaluater": {}}, "unknown key 'evaluater'; did you mean 'evaluator'"),
        ({"evaluator": {"hiden": 3}}, r"config: \[evaluator\]: unknown key 'hiden'; .*'hidden'"),
        ({"evaluator": {"hidden": "3"}}, "hidden='3': input should be a valid integer"),
        ({"evaluator": {"hidden": True}}, "hidden=True: input should be a valid integer"),
        ({"evaluator": {"hidden": 0}}, "hidden=0: input should be greater than or equal to 1"),
        ({"evaluator": {"kind": "magic"}}, "input should be 'nlgr', 'context' or 'pair'"),
        ({"evaluator": 3}, "must be a table, not 3"),
        ({"train_evaluator": {"embedding_decay": -0.1}}, "embedding_decay=-0.1: .*equal to 0"),
        ({"train_evaluator": {"min_steps_per_epoch": 0}}, "min_steps_per_epoch=0: .*equal to 1"),
        ({"train_evaluator": {"slot_bias_weight": -1.0}}, "slot_bias_weight=-1.0: .*equal to 0"),
        ({"train_evaluator": {"lr": True}}, "lr=True: input should be a valid number"),
        ({"train_generator": {"input_list_share": 1.2}}, "input_list_share=1.2: .*equal to 1"),
        ({"train_generator": {"lr_decay_share": 1.5}}, "lr_decay_share=1.5: .*equal to 1"),
        ({"train_generator": {"cru_loss": "magic"}}, "cru_loss='magic': .*'straight_through'"),
        ({"objective": {"discount": -0.5}}, "discount=-0.5: .*equal to 0"),
        ({"objective": {"click": math.nan}}, "click=nan: input should be a finite number"),
        ({"objective": {"conversion": math.inf}}, "conversion=inf: input should be a finite"),
        ({"objective": {"click": -1.0}}, "click=-1.0: .*equal to 0"),
        ({"objective": {"value": 0.5}}, "value=0.5 needs value_field"),
        ({"objective": {"click": 0.0}}, "click, conversion and value are all 0"),
        ({"serving": {"refine_rounds": -1}}, "refine_rounds=-1: .*equal to 0"),
        (
            {"evaluator": {"kind": "context"}, "serving": {"refine_rounds": 2}},
            "config: serving.refine_rounds=2 needs evaluator.kind='pair'",
        ),
    ],
)
def test_from_mapping_with_wrong_entry_names_key(raw: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        PipelineConfig.from_mapping(raw)


def test_replace_with_wrong_value_raises():
    with pytest.raises(ValueError, match="epochs"):
        dataclasses.replace(PipelineConfig().train_evaluator, epochs=-1)


def test_nlgr_preset_keeps_published_sizes():
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


def test_embedding_decay_falls_with_log_size():
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


def test_refine_rounds_default_follows_evaluator_kind():
    kinds: dict[str, dict[str, object]] = {k: {"kind": k} for k in ("nlgr", "context", "pair")}

    rounds = {
        k: PipelineConfig.from_mapping({"evaluator": e}).refine_rounds for k, e in kinds.items()
    }
    off = PipelineConfig.from_mapping({"serving": {"refine_rounds": 0}})

    assert rounds == {"nlgr": 0, "context": 0, "pair": DEFAULT_REFINE_ROUNDS}
    assert off.refine_rounds == 0


def test_default_config_trains_pair_and_guided():
    config = PipelineConfig.from_toml(None)

    assert (config.evaluator.kind, config.generator.kind) == ("pair", "guided")
    assert config.evaluator.members > 1
