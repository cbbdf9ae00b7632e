from pathlib import Path

import pytest

from model.config import Config
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
        ({"evaluator": {"kind": "magic"}}, "is not one of nlgr, context"),
        ({"evaluator": 3}, "is a table"),
        ({"train_evaluator": {"upstream_order": 1.0}}, "upstream_order needs .* not 'nlgr'"),
        (
            {"evaluator": {"kind": "pair"}, "train_evaluator": {"even_slots": -1.0}},
            "even_slots=-1.0 is negative",
        ),
        (
            {
                "evaluator": {"kind": "pair", "interplay": False},
                "train_evaluator": {"even_slots": 1.0},
            },
            "even_slots needs evaluator.interplay",
        ),
        ({"objective": {"discount": -0.5}}, "discount=-0.5 is negative"),
        ({"train_generator": {"cru_loss": "magic"}}, "is not one of straight_through"),
    ],
)
def test_a_wrong_key_or_value_is_refused_by_name(raw: dict[str, object], says: str):
    with pytest.raises(ConfigError, match=says):
        Config.from_mapping(raw)


def test_an_unreadable_file_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"absent\.toml"):
        Config.read(tmp_path / "absent.toml")
