"""Settings of the process, read once by the composition root. Units are part of the name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "RERANK_"
MEMORY = "memory://"
MIN_TOKEN_CHARACTERS = 16


class Settings(BaseSettings):
    """Environment variables with the prefix RERANK_; an unknown one stops the start."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    artifact_dir: Path = Field(description="artifact folder, or one with a `current` link to it")
    canary_dir: Path | None = Field(default=None, description="artifact folder of a canary")
    canary_share: float = Field(
        default=0.0, ge=0, le=1, description="share of the users that the canary serves"
    )
    canary_shadow: bool = Field(
        default=False, description="the canary runs after each answer, for metrics only"
    )
    redis_url: SecretStr = Field(
        default=SecretStr(MEMORY),
        description="redis://.., rediss://.. or unix://..; memory:// reads users_file instead",
    )
    redis_cluster: bool = Field(
        default=False, description="redis_url is that of any node of a Redis Cluster"
    )
    redis_prefix: str = Field(default="relist", pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    redis_connections: int = Field(
        default=16, ge=1, le=1024, description="to a cluster; a single Redis is read over one"
    )
    requests_file: Path | None = Field(
        default=None, description="requests.jsonl, for the documents' example and the playground"
    )
    users_file: Path | None = Field(default=None, description="users.bin for memory://")
    items_refresh_s: float = Field(default=30.0, gt=0)

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    workers: int = Field(default=1, ge=1, le=256)
    metrics_port: int | None = Field(
        default=None, ge=1, le=65535, description="worker i serves /metrics here + i"
    )
    admin_port: int | None = Field(
        default=None, ge=1, le=65535, description="worker i serves /admin here + i"
    )
    playground: bool = Field(
        default=False, description="a page at /playground that tries requests_file's requests"
    )

    request_budget_ms: int = Field(default=50, gt=0)
    max_budget_ms: int = Field(default=1000, gt=0)
    feature_budget_ms: int = Field(default=10, gt=0)
    answer_reserve_ms: float = Field(default=1.0, ge=0, description="kept for writing the answer")
    max_candidates: int = Field(default=500, ge=1)
    max_num_lists: int = Field(default=64, ge=1, le=1024)
    max_body_bytes: int = Field(default=1_048_576, ge=1024)
    body_timeout_ms: int = Field(default=2000, gt=0)
    max_inflight: int = Field(default=16, ge=1)
    max_waiting: int = Field(default=48, ge=0)
    drain_s: float = Field(default=0.0, ge=0, description="after SIGTERM: not ready but serving")
    grace_s: float = Field(default=10.0, gt=0, description="then: time for requests in flight")

    max_batch_size: int = Field(
        default=8, ge=1, le=16, description="requests that one run of the graphs may batch; 1: none"
    )
    kernels: Literal["auto", "numba", "numpy"] = Field(
        default="auto",
        description="loops of the request path; numba needs [fast]; auto: numba if installed",
    )
    api_tokens: tuple[SecretStr, ...] = Field(default=(), description="JSON list; empty: open")
    admin_token: SecretStr | None = Field(default=None, description="unset: /admin is closed")
    otel_endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://\S+$",
        description="spans go here by OTLP/HTTP: http://collector:4318/v1/traces; needs [otel]",
    )
    app_hook: str | None = Field(
        default=None,
        pattern=r"^[\w.]+:\w+$",
        description="module:function that is called with the FastAPI application",
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="after")
    def _budgets_are_nested(self) -> Self:
        if self.feature_budget_ms >= self.request_budget_ms:
            raise ValueError("RERANK_FEATURE_BUDGET_MS must be below RERANK_REQUEST_BUDGET_MS")
        if self.request_budget_ms > self.max_budget_ms:
            raise ValueError("RERANK_REQUEST_BUDGET_MS must not be above RERANK_MAX_BUDGET_MS")
        if self.answer_reserve_ms >= self.request_budget_ms:
            raise ValueError("RERANK_ANSWER_RESERVE_MS must be below RERANK_REQUEST_BUDGET_MS")
        return self

    @model_validator(mode="after")
    def _ports_are_distinct(self) -> Self:
        if self.workers > 1 and self.metrics_port is None:
            raise ValueError(
                "several workers need RERANK_METRICS_PORT: each serves its own /metrics"
            )
        if self.workers > 1 and self.admin_token is not None and self.admin_port is None:
            raise ValueError(
                "several workers with RERANK_ADMIN_TOKEN need RERANK_ADMIN_PORT: on the shared "
                "port a command would reach one worker only; "
                "worker i serves /admin on that port + i"
            )
        ports = [self.port]
        for base in (self.metrics_port, self.admin_port):
            if base is not None:
                ports += range(base, base + self.workers)
        if len(set(ports)) != len(ports):
            raise ValueError("RERANK_PORT, RERANK_METRICS_PORT and RERANK_ADMIN_PORT overlap")
        return self

    @field_validator("api_tokens", "admin_token")
    @classmethod
    def _tokens_can_be_sent(
        cls, value: tuple[SecretStr, ...] | SecretStr | None, info: ValidationInfo
    ) -> tuple[SecretStr, ...] | SecretStr | None:
        """Strip white space around a token, such as the newline of the file that held it."""
        name = f"{PREFIX}{str(info.field_name).upper()}"
        if isinstance(value, tuple):
            return tuple(_checked_token(token, name) for token in value)
        return None if value is None else _checked_token(value, name)

    @model_validator(mode="after")
    def _canary_has_a_use(self) -> Self:
        if (self.canary_share > 0 or self.canary_shadow) != (self.canary_dir is not None):
            raise ValueError(
                "RERANK_CANARY_DIR goes together with RERANK_CANARY_SHARE or RERANK_CANARY_SHADOW"
            )
        return self

    @model_validator(mode="after")
    def _store_is_supported(self) -> Self:
        scheme = self.redis_url.get_secret_value().partition("://")[0]
        if scheme not in {"redis", "rediss", "unix", "memory"}:
            raise ValueError(
                "RERANK_REDIS_URL starts with redis://, rediss://, unix:// or memory://"
            )
        if self.users_file is not None and scheme != "memory":
            raise ValueError("RERANK_USERS_FILE belongs to RERANK_REDIS_URL=memory://")
        if self.redis_cluster and scheme not in {"redis", "rediss"}:
            raise ValueError(
                "RERANK_REDIS_CLUSTER needs a RERANK_REDIS_URL of redis:// or rediss://"
            )
        return self

    @model_validator(mode="after")
    def _playground_has_requests(self) -> Self:
        if self.playground and self.requests_file is None:
            raise ValueError("RERANK_PLAYGROUND needs RERANK_REQUESTS_FILE: it shows real requests")
        return self

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Build from the process environment; an unknown RERANK_ variable is an error."""
        known = {PREFIX + name.upper() for name in cls.model_fields}
        present = {name.upper() for name in environ}
        unknown = sorted(n for n in present if n.startswith(PREFIX) and n not in known)
        if unknown:
            raise ValueError(f"unknown settings: {', '.join(unknown)}")
        try:
            return cls()
        except ValidationError:
            raise
        except ValueError as error:  # a value that has to be JSON and is not
            names = [PREFIX + n.upper() for n in cls.model_fields if f'"{n}"' in str(error)]
            raise ValueError(f"{', '.join(names)}: takes a JSON list of strings") from error


def _checked_token(token: SecretStr, name: str) -> SecretStr:
    text = token.get_secret_value().strip()
    if len(text) < MIN_TOKEN_CHARACTERS:
        raise ValueError(f"{name}: a token has at least {MIN_TOKEN_CHARACTERS} characters")
    if any(character.isspace() or not character.isprintable() for character in text):
        raise ValueError(f"{name}: a token holds no white space or control character")
    return SecretStr(text)
