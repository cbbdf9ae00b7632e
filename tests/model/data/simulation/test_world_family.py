from pathlib import Path

import pytest

from model.config.toml_reader import ConfigError
from model.data.simulation.response_models.response_registry import RESPONSE_MODELS
from model.data.simulation.world_family import read_world_family, select_worlds

FAMILY = read_world_family()


def test_family_has_every_response_model_in_one_half():
    forms = {
        half: {w.config.form for w in select_worlds(FAMILY, [half])}
        for half in ("design", "report")
    }

    assert forms["design"] | forms["report"] == set(RESPONSE_MODELS)
    # these forms are seen in report worlds only, so that no setting is chosen with them
    assert len(forms["report"] - forms["design"]) >= 6


def test_family_covers_the_logs_asked_for():
    configs = [world.config for world in FAMILY.values()]

    assert any(c.exploration == 0.0 and c.candidates == 12 for c in configs)
    assert {25, 50} <= {c.slots for c in configs}
    assert any(c.fresh_items_per_day for c in configs)
    assert any(c.upstream_bias_share > 0.5 for c in configs)
    assert (min(c.lists for c in configs), max(c.lists for c in configs)) == (2_000, 200_000)


def test_select_worlds_takes_names_and_halves():
    assert select_worlds(FAMILY, ["all"]) == tuple(FAMILY.values())
    assert {w.half for w in select_worlds(FAMILY, ["report"])} == {"report"}
    assert [w.name for w in select_worlds(FAMILY, ["decoy", "choice"])] == ["choice", "decoy"]
    assert FAMILY["choice"].with_lists(2_000).config.total_lists == 2_500
    with pytest.raises(ConfigError, match="--worlds desing: is none of"):
        select_worlds(FAMILY, ["desing"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("log = \"static\"", "log = \"statik\""), "log='statik': is none of static"),
        (("half = \"design\"", "half = \"both\""), "half='both'"),
        (("form = \"choice\"", "form = \"choise\""), "form='choise': is none of"),
        (("exploration = 0.0", "explore = 0.0"), "unknown key 'explore'"),
    ],
)  # fmt: skip
def test_world_family_with_mistake_names_it(change: tuple[str, str], words: str, tmp_path: Path):
    text = Path("model/data/presets/world_family.toml").read_text(encoding="utf-8")
    (tmp_path / "f.toml").write_text(text.replace(*change), encoding="utf-8")

    with pytest.raises(ConfigError, match=words):
        read_world_family(tmp_path / "f.toml")
