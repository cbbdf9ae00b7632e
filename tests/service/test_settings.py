import pytest
from pydantic import ValidationError

from service.settings import Settings


@pytest.fixture
def environ(monkeypatch):
    monkeypatch.setenv("RERANK_ARTIFACT_DIR", "/artifact")
    return monkeypatch


def read(**given: str) -> Settings:
    return Settings.from_environment({f"RERANK_{k.upper()}": v for k, v in given.items()})


def test_a_misspelt_variable_stops_the_start_and_is_named(environ):
    with pytest.raises(ValueError, match="RERANK_MAX_INFLIGTH"):
        read(max_infligth="3")


def test_variables_of_others_are_none_of_our_business(environ):
    environ.setenv("RERANKER", "x")

    assert Settings.from_environment({"RERANKER": "x", "PATH": "/bin"}).port == 8000


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"FEATURE_BUDGET_MS": "50"}, "below RERANK_REQUEST_BUDGET_MS"),
        ({"REQUEST_BUDGET_MS": "2000"}, "above RERANK_MAX_BUDGET_MS"),
        ({"ANSWER_RESERVE_MS": "60"}, "below RERANK_REQUEST_BUDGET_MS"),
        ({"WORKERS": "2"}, "need RERANK_METRICS_PORT"),
        ({"WORKERS": "2", "METRICS_PORT": "7999"}, "overlap"),
        (
            {"WORKERS": "2", "METRICS_PORT": "9000", "ADMIN_TOKEN": "a-token-of-20-letters"},
            r"RERANK_ADMIN_PORT: .* worker i serves /admin on that port \+ i",
        ),
        ({"METRICS_PORT": "9000", "ADMIN_PORT": "9000"}, "overlap"),
        ({"API_TOKENS": '["short"]'}, "RERANK_API_TOKENS: .*at least 16 characters"),
        ({"ADMIN_TOKEN": "short"}, "RERANK_ADMIN_TOKEN: .*at least 16 characters"),
        ({"ADMIN_TOKEN": "with a space inside it"}, "RERANK_ADMIN_TOKEN: .*no white space"),
        ({"REDIS_URL": "http://localhost"}, "starts with redis://"),
        ({"REDIS_URL": "redis://localhost", "USERS_FILE": "/u"}, "belongs to"),
        ({"REDIS_CLUSTER": "true"}, "RERANK_REDIS_CLUSTER needs a RERANK_REDIS_URL of redis://"),
        ({"REDIS_CLUSTER": "true", "REDIS_URL": "unix:///r.sock"}, "RERANK_REDIS_CLUSTER needs"),
        ({"PLAYGROUND": "true"}, "RERANK_PLAYGROUND needs RERANK_REQUESTS_FILE"),
        ({"PORT": "70000"}, "less than or equal to 65535"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(environ, given, rule):
    for name, value in given.items():
        environ.setenv(f"RERANK_{name}", value)

    with pytest.raises(ValidationError, match=rule):
        read()


@pytest.mark.parametrize(
    "given",
    [
        {"WORKERS": "1", "ADMIN_TOKEN": "a-token-of-20-letters"},
        {"WORKERS": "2", "METRICS_PORT": "9000"},
        {
            "WORKERS": "2",
            "METRICS_PORT": "9000",
            "ADMIN_PORT": "9100",
            "ADMIN_TOKEN": "a-token-of-20-letters",
        },
    ],
)
def test_a_port_for_admin_is_asked_for_only_where_an_order_could_miss_a_worker(environ, given):
    for name, value in given.items():
        environ.setenv(f"RERANK_{name}", value)

    assert read().workers == int(given["WORKERS"])


def test_secrets_do_not_show_when_settings_are_printed(environ):
    environ.setenv("RERANK_API_TOKENS", '["a-token-of-20-letters"]')
    environ.setenv("RERANK_REDIS_URL", "redis://:hunter2@localhost")

    assert "a-token" not in repr(read())
    assert "hunter2" not in repr(read())


def test_tokens_lose_the_newline_of_their_file(environ):
    environ.setenv("RERANK_ADMIN_TOKEN", "a-token-of-20-letters\n")
    environ.setenv("RERANK_API_TOKENS", '["another-token-of-20\\n"]')

    settings = Settings()

    assert settings.admin_token is not None
    assert settings.admin_token.get_secret_value() == "a-token-of-20-letters"
    assert settings.api_tokens[0].get_secret_value() == "another-token-of-20"
