from pathlib import Path

import pytest

from model.config.toml_reader import ConfigError
from model.data.log.log_info import LogInfo, read_log_info, write_log_info


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.2, 0.1), (1.0, 0.0, 0.0)])
def test_log_info_invalid_shares_are_rejected(shares: tuple[float, ...]):
    with pytest.raises(ValueError, match="three positive numbers that sum to 1"):
        LogInfo(shares=shares)


def test_read_log_info_byte_order_mark_is_accepted(tmp_path: Path):
    (tmp_path / "log.toml").write_text('name = "shop"', encoding="utf-8-sig")

    assert read_log_info(tmp_path).name == "shop"


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_read_log_info_other_encoding_names_utf8(tmp_path: Path, encoding: str):
    (tmp_path / "log.toml").write_text('name = "caf\u00e9"', encoding=encoding)

    with pytest.raises(ConfigError, match=r"log\.toml.*not UTF-8.*save the file as UTF-8"):
        read_log_info(tmp_path)


@pytest.mark.parametrize("name", ['a "quoted" name', "back\\slash", "line\nfeed", "caf\u00e9"])
def test_write_log_info_any_name_round_trips(tmp_path: Path, name: str):
    info = LogInfo(name=name, list_size=3)
    write_log_info(tmp_path, info)

    assert read_log_info(tmp_path) == info
