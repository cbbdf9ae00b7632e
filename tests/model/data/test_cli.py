import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from model.config.toml_reader import read_flat_toml
from model.data.errors import DataConfigError, DownloadFailed
from model.data.log.log_info import LogInfo
from model.data.log.log_writer import replace_log_dir
from model.data.movielens import download
from model.data.movielens.movielens_log import MovieLensConfig
from model.data.user_cache import user_cache_dir
from tests.model.data.movielens.ratings_wheel import write_ratings_wheel
from tests.relist_command import run_relist
from tests.toy_log import write_toy_log


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An invented wheel that the checksum guard takes for the real one."""
    path = write_ratings_wheel(tmp_path / "some.whl")
    monkeypatch.setattr(download, "WHEEL_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


@pytest.mark.parametrize("command", ["movielens", "click-world"])
def test_log_commands_build_check_and_prepare(command: str, wheel: Path, tmp_path: Path, capsys):
    out = str(tmp_path / "log")
    preset = ["--config", "cascade_world_4of12", "--lists", "800"]
    extra = preset if command == "click-world" else ["--config", "movielens"]

    assert (
        run_relist("log", command, "--out", out, "--wheel", str(wheel), "--seed", "3", *extra) == 0
    )
    assert run_relist("log", "check", out) == 0
    assert run_relist("log", "prepare", out, "--sessions", "4") == 0

    said = capsys.readouterr().out
    assert "requests" in said
    assert "no rule broken" in said
    assert "H=4" in said
    name = read_flat_toml(LogInfo, tmp_path / "log" / "log.toml").name
    assert name == ("movielens" if command == "movielens" else "cascade-world-4of12")
    assert (tmp_path / "log" / "prepared" / "meta.json").exists()


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("slotz = 3", "c.toml: unknown key 'slotz'; did you mean 'slots'"),
        ('slots = "three"', "c.toml: slots='three': input should be a valid integer"),
        ("slots = true", "c.toml: slots=True: input should be a valid integer"),
        ("slots = 40", "c.toml: needs 1 <= slots <= min_candidates"),
        ("shares = 0.5", "c.toml: shares=0.5: input should be a valid tuple"),
        ("slots = ", "c.toml: not TOML"),
    ],
)
def test_invalid_config_exits_with_code_2(
    toml: str, words: str, wheel: Path, tmp_path: Path, capsys
):
    (tmp_path / "c.toml").write_text(toml)
    given = ["--out", str(tmp_path / "log"), "--config", str(tmp_path / "c.toml")]

    assert run_relist("log", "movielens", *given, "--wheel", str(wheel)) == 2

    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["check", "nowhere"], "nowhere/schema.toml: no such file"),
        (["movielens", "--out", "x", "--wheel", "none.whl"], "none.whl: cannot be read"),
        (["movielens", "--out", "x", "--wheel", "pyproject.toml"], "expected"),
        (["click-world", "--out", "x", "--lists", "0"], "command line: --lists: lists and days"),
    ],
)
def test_failed_command_exits_with_code_2(given: list[str], words: str, capsys):
    assert run_relist("log", *given) == 2

    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_check_invalid_log_reports_location(tmp_path: Path, capsys):
    log = write_toy_log(tmp_path)
    (log / "users.parquet").unlink()

    assert run_relist("log", "check", str(log)) == 2
    assert "users.parquet: no such file" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["movielens", "click-world", "check", "prepare"])
def test_commands_print_help(command: str, capsys):
    assert run_relist("log", command, "--help") == 0

    assert "Usage: relist log" in capsys.readouterr().out


def test_replace_log_dir_with_foreign_files_fails(tmp_path: Path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("years of work")

    with (
        pytest.raises(DataConfigError, match="holds other files than a log"),
        replace_log_dir(tmp_path / "precious"),
    ):
        pytest.fail("must refuse before anything is written")
    assert (tmp_path / "precious" / "thesis.txt").exists()


def test_replace_log_dir_after_error_keeps_old_log(tmp_path: Path):
    log = write_toy_log(tmp_path / "log")
    before = sorted(p.name for p in log.iterdir())

    with pytest.raises(RuntimeError, match="halfway"), replace_log_dir(log):
        raise RuntimeError("halfway")

    assert sorted(p.name for p in log.iterdir()) == before
    assert [p.name for p in tmp_path.iterdir()] == ["log"]


def test_fetch_wheel_cached_file_is_verified(wheel: Path, tmp_path: Path):
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / download.WHEEL_FILE).write_bytes(wheel.read_bytes())
    assert download.fetch_wheel(None, cache) == cache / download.WHEEL_FILE

    (cache / download.WHEEL_FILE).write_bytes(wheel.read_bytes() + b"x")
    with pytest.raises(DownloadFailed, match="SHA-256 is"):
        download.fetch_wheel(None, cache)


@pytest.mark.parametrize("arrives", [True, False])
def test_fetch_wheel_wrong_checksum_is_not_cached(
    arrives: bool, wheel: Path, tmp_path: Path, monkeypatch
):
    def pip(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        target = Path(command[command.index("--dest") + 1]) / download.WHEEL_FILE
        target.write_bytes(wheel.read_bytes() + (b"" if arrives else b"other"))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip)
    cache = tmp_path / "cache"
    if arrives:
        assert download.fetch_wheel(None, cache).read_bytes() == wheel.read_bytes()
    else:
        with pytest.raises(DownloadFailed, match="expected"):
            download.fetch_wheel(None, cache)
    assert [p.name for p in cache.iterdir()] == ([download.WHEEL_FILE] if arrives else [])


def test_fetch_wheel_offline_error_names_option(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_NO_INDEX", "1")

    with pytest.raises(DownloadFailed, match=r"pip could not download it .*--wheel"):
        download.fetch_wheel(None, tmp_path / "cache")


def test_fetch_wheel_timeout_raises_download_failed(tmp_path: Path, monkeypatch):
    def hang(command: list[str], **_: object) -> None:
        raise subprocess.TimeoutExpired(command, 300)

    monkeypatch.setattr(subprocess, "run", hang)

    with pytest.raises(DownloadFailed, match="pip did not finish within 300 s"):
        download.fetch_wheel(None, tmp_path / "cache")


def test_user_cache_dir_follows_xdg(tmp_path: Path):
    assert user_cache_dir({"XDG_CACHE_HOME": "/x"}) == Path("/x/relist")
    assert user_cache_dir({}) == Path.home() / ".cache" / "relist"


def test_read_flat_toml_accepts_integer_for_float(tmp_path: Path):
    (tmp_path / "c.toml").write_text("exploration = 1")

    assert read_flat_toml(MovieLensConfig, tmp_path / "c.toml").exploration == 1.0


def test_cli_runs_as_module():
    command = [sys.executable, "-m", "service.cli.main", "log", "check", "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
