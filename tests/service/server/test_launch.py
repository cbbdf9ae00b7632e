import pytest

from service.server.launch import SettingsError, read_settings, settings_help


@pytest.mark.parametrize(
    ("variable", "default"),
    [
        ("RERANK_ARTIFACT_DIR", "required"),
        ("RERANK_REDIS_URL", "memory://"),
        ("RERANK_REDIS_PREFIX", "relist"),
        ("RERANK_API_TOKENS", "[]"),
        ("RERANK_ADMIN_TOKEN", "unset"),
        ("RERANK_PLAYGROUND", "false"),
    ],
)
def test_settings_help_shows_defaults_as_environment_values(variable, default):
    assert f"  {variable} ({default})" in settings_help()


def test_settings_help_shows_no_masked_default():
    assert "*" not in settings_help()


def test_settings_help_ignores_values_of_the_environment(monkeypatch):
    monkeypatch.setenv("RERANK_REDIS_URL", "redis://:hunter2@localhost")

    assert "hunter2" not in settings_help()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("RERANK_API_TOKENS", '["short"]'),
        ("RERANK_API_TOKENS", "no-json-but-of-many-characters"),
        ("RERANK_API_TOKENS", '{"a": 1}'),
        ("RERANK_API_TOKENS", "[1]"),
        ("RERANK_ADMIN_TOKEN", "short"),
        ("RERANK_PORT", "x"),
        ("RERANK_REDIS_URL", "http://user:hunter2@localhost"),
        ("RERANK_FEATURE_BUDGET_MS", "50"),
        ("RERANK_WORKERS", "2"),
        ("RERANK_CANARY_SHARE", "0.5"),
        ("RERANK_PLAYGROUND", "true"),
        ("RERANK_USERS_FILE", "/users.bin"),
        ("RERANK_REDIS_CLUSTER", "true"),
        ("RERANK_MISSPELT", "1"),
    ],
)
def test_settings_error_names_its_variable_once(monkeypatch, variable, value):
    monkeypatch.setenv("RERANK_ARTIFACT_DIR", "/artifact")
    if variable == "RERANK_USERS_FILE":
        monkeypatch.setenv("RERANK_REDIS_URL", "redis://localhost")
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError) as caught:
        read_settings()

    [line] = caught.value.lines
    # Rules about several variables may name only the others: these need a port beside.
    named = {"RERANK_WORKERS": "RERANK_METRICS_PORT"}.get(variable, variable)
    assert line.count(named) == 1
    assert "hunter2" not in line
    assert "Value error" not in line
