import dataclasses
from pathlib import Path

import pytest

from model.config import DECAY_OF_10K, REFINE_ROUNDS, Config
from model.config_values import ConfigError

CONFIGS = sorted((Path(__file__).parents[2] / "model" / "configs").glob("*.toml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_configuration_is_read(path: Path):
    config = Config.read(path)

    assert Config.from_mapping(config.as_mapping()) == config


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
        ({"train_evaluator": {"epoch_steps": 0}}, "epoch_steps=0 must be at least 1"),
        ({"train_evaluator": {"even_slots": -1.0}}, "even_slots=-1.0 is negative"),
        ({"train_evaluator": {"upstream_offer": -0.1}}, "upstream_offer=-0.1 is negative"),
        ({"objective": {"discount": -0.5}}, "discount=-0.5 is negative"),
        ({"serving": {"refine_rounds": -1}}, "refine_rounds=-1 is negative"),
        (
            {"evaluator": {"kind": "context"}, "serving": {"refine_rounds": 2}},
            "refine_rounds=2 needs evaluator.kind='pair'",
        ),
        ({"train_generator": {"input_share": 1.2}}, "input_share=1.2 is not in"),
        ({"train_generator": {"cru_loss": "magic"}}, "is not one of straight_through"),
    ],
)
def test_a_wrong_key_or_value_is_refused_by_name(raw: dict[str, object], says: str):
    with pytest.raises(ConfigError, match=says):
        Config.from_mapping(raw)


def test_an_unreadable_file_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"absent\.toml"):
        Config.read(tmp_path / "absent.toml")


def test_the_paper_stays_what_it_is_whatever_the_product_ships():
    nlgr = Config.read(Path("model/configs/nlgr.toml"))

    assert (nlgr.evaluator.kind, nlgr.generator.kind) == ("nlgr", "nlgr")
    assert (nlgr.evaluator.members, nlgr.evaluator.hidden, nlgr.evaluator.width) == (1, 64, 8)
    assert (nlgr.generator.hidden, nlgr.generator.edits) == (64, 4)
    assert nlgr.generator.stop_on_no_change
    for training in (nlgr.train_evaluator, nlgr.train_generator):
        assert (training.lr, training.max_batch) == (1e-3, 1024)
    assert [nlgr.train_evaluator.batch_size(n) for n in (10, 1000, 90_000)] == [1, 20, 1024]
    evaluator = nlgr.train_evaluator
    assert (evaluator.average, evaluator.weight_decay, evaluator.embedding_decay) == (0.0, 0.0, 0.0)
    assert not evaluator.temperature
    assert (nlgr.train_generator.cru_loss, nlgr.train_generator.lr_decay) == (
        "straight_through",
        0.0,
    )
    assert (nlgr.serving.pessimism, nlgr.objective.discount) == (0.0, 0.0)
    assert nlgr.serving.refine_rounds == 0


def test_the_more_lists_are_learned_from_the_less_embeddings_decay():
    training = Config.read(None).train_evaluator

    assert training.table_decay(10_000) == DECAY_OF_10K
    assert training.table_decay(40_000) == pytest.approx(DECAY_OF_10K / 2)
    assert training.table_decay(0) == pytest.approx(DECAY_OF_10K * 100)  # of an empty log, finite
    assert dataclasses.replace(training, embedding_decay=0.7).table_decay(40_000) == 0.7


def test_lists_are_refined_where_the_evaluator_allows_it_unless_told_otherwise():
    kinds: dict[str, dict[str, object]] = {k: {"kind": k} for k in ("nlgr", "context", "pair")}

    rounds = {k: Config.from_mapping({"evaluator": e}).refine_rounds for k, e in kinds.items()}
    off = Config.from_mapping({"serving": {"refine_rounds": 0}})

    assert rounds == {"nlgr": 0, "context": 0, "pair": REFINE_ROUNDS}
    assert off.refine_rounds == 0


def test_without_a_file_what_wins_is_trained():
    config = Config.read(None)

    assert (config.evaluator.kind, config.generator.kind) == ("pair", "guided")
    assert config.evaluator.members > 1
