from dataclasses import replace
from pathlib import Path

import pytest

from model.config.toml_reader import ConfigError, read_flat_toml, read_toml
from model.data.movielens.movielens_log import MovieLensConfig


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = 1\nname = 'caf\xe9'\n", r"c\.toml: byte 0xe9 at offset 17 is not UTF-8"),
        ("a = 1\n".encode("utf-16"), r"c\.toml: byte 0xff at offset 0 is not UTF-8"),
        (b"a = \n", r"c\.toml: not TOML: "),
    ],
)
def test_read_toml_with_bad_bytes_names_file(content: bytes, message: str, tmp_path: Path):
    path = tmp_path / "c.toml"
    path.write_bytes(content)

    with pytest.raises(ConfigError, match=message):
        read_toml(path)


def test_read_toml_without_file_names_path(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"absent\.toml: cannot be read: No such file"):
        read_toml(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_toml(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slot = 3\n", r"c\.toml: unknown key 'slot'; did you mean 'slots'"),
        ("slots = 3.5\n", r"c\.toml: slots=3\.5: input should be a valid integer"),
        ("shares = [0.5, 'a']\n", r"c\.toml: shares\.1='a': input should be a valid number"),
        ("slots = 40\n", r"c\.toml: needs 1 <= slots <= min_candidates"),
    ],
)
def test_read_flat_toml_with_wrong_key_names_it(text: str, message: str, tmp_path: Path):
    path = tmp_path / "c.toml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(ConfigError, match=message):
        read_flat_toml(MovieLensConfig, path)


def test_read_flat_toml_reads_arrays_as_tuples(tmp_path: Path):
    path = tmp_path / "c.toml"
    path.write_text("shares = [0.5, 0.25, 0.25]\nexploration = 1\n", encoding="utf-8")

    config = read_flat_toml(MovieLensConfig, path)

    assert config == replace(MovieLensConfig(), shares=(0.5, 0.25, 0.25), exploration=1.0)
