"""The one parser of the URL of Redis, shared by the readers of users and items and by the loader.

Supports redis://, rediss:// and unix:// with a closed set of options. Each option has the same
meaning in every client, or the URL is refused with the name of the option.
"""

from __future__ import annotations

import math
import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

_DEFAULT_PORT, _MAX_PORT = 6379, 65_535
_SCHEMES = ("redis", "rediss", "unix")
_CERT_REQS = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}
_TRUE, _FALSE = ("1", "t", "true", "y", "yes"), ("0", "f", "false", "n", "no")
_CLUSTER_TLS_OPTIONS = (
    "ssl_ca_certs",
    "ssl_ca_data",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_cert_reqs",
    "ssl_check_hostname",
)
# The cluster clients of redis-py lack these.
_SINGLE_NODE_TLS_OPTIONS = ("ssl_ca_path", "ssl_password", "ssl_min_version", "ssl_ciphers")
_TLS_OPTIONS = _CLUSTER_TLS_OPTIONS + _SINGLE_NODE_TLS_OPTIONS
_CONNECTION_OPTIONS = (
    "db",
    "username",
    "password",
    "protocol",
    "socket_timeout",
    "socket_connect_timeout",
    "socket_keepalive",
)


class RedisUrlError(ValueError):
    """The URL of Redis cannot be used; the message holds no part of a user name or password."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the URL of Redis cannot be used: {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAddress:
    """Location, login and options of a Redis.

    host, port:        of a TCP address; without meaning when `unix_path` is set.
    unix_path:         absolute path of a Unix domain socket.
    socket_timeout_s:  limit on one reply, beside the limit of each call; None: no limit of its own.
    connect_timeout_s: limit on opening a connection; None: the default of each client.
    tls:               redis-py's ssl_* options; None: no TLS.
    """

    host: str = "localhost"
    port: int = _DEFAULT_PORT
    unix_path: str | None = None
    db: int = 0
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    socket_timeout_s: float | None = None
    connect_timeout_s: float | None = None
    keepalive: bool = True
    tls: dict[str, Any] | None = field(default=None, repr=False)

    @property
    def display_url(self) -> str:
        """The address without login and options, for messages."""
        if self.unix_path is not None:
            return f"unix://{self.unix_path}"
        scheme = "redis" if self.tls is None else "rediss"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}/{self.db}"

    def limit_timeout(self, timeout_s: float) -> float:
        """The smaller of a call's timeout and `socket_timeout_s`, in seconds."""
        return timeout_s if self.socket_timeout_s is None else min(timeout_s, self.socket_timeout_s)

    def require_cluster_support(self) -> None:
        """Raise RedisUrlError for an address that no cluster client can use."""
        if self.unix_path is not None:
            raise RedisUrlError("a Redis Cluster needs redis:// or rediss://, not unix://")
        if self.db:
            raise RedisUrlError("db: a Redis Cluster has database 0 only")
        unsupported = sorted(set(self.tls or ()) & set(_SINGLE_NODE_TLS_OPTIONS))
        if unsupported:
            raise RedisUrlError(f"{unsupported[0]} is not supported for a Redis Cluster")

    def build_tls_context(self) -> ssl.SSLContext | None:
        """A new TLS context, None without TLS; reads certificate files, about 25 ms.

        Raises RedisUrlError when a file or an option cannot be used.
        """
        if self.tls is None:
            return None
        options = {name.removeprefix("ssl_"): value for name, value in self.tls.items()}
        try:
            return _build_tls_context(options)
        except (OSError, ValueError) as error:  # SSLError is an OSError
            raise RedisUrlError(f"TLS options: {error}") from error


def parse_redis_url(url: str) -> RedisAddress:
    """Read a URL; raises RedisUrlError for what any of the clients cannot use."""
    parts = _split(url)
    options = _parse_options(parts)
    tls = {name: options[name] for name in _TLS_OPTIONS if name in options}
    if tls and parts.scheme != "rediss":
        raise RedisUrlError(f"{next(iter(tls))} needs rediss://")
    if options.get("protocol", "2") != "2":
        raise RedisUrlError("protocol: only 2 is supported")
    for name, value in (("username", parts.username), ("password", parts.password)):
        if value:
            if name in options:
                raise RedisUrlError(f"{name} is set twice")
            options[name] = unquote(value)
    return RedisAddress(
        **_parse_location(parts),
        db=_parse_db(parts, options),
        username=options.get("username"),
        password=options.get("password"),
        socket_timeout_s=_parse_seconds(options, "socket_timeout"),
        connect_timeout_s=_parse_seconds(options, "socket_connect_timeout"),
        keepalive=_parse_bool(options, "socket_keepalive", default=True),
        tls=_parse_tls(tls) if parts.scheme == "rediss" else None,
    )


def _split(url: str) -> SplitResult:
    """The parts of the URL; refuses one whose login ends at an unescaped character.

    An unescaped `/`, `?` or `#` in a password moves the `@` out of the authority. Such a URL may
    still parse, with a part of the password as host, path or option.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # its message holds the text of the port, which may be of the password
        parts = None
    if parts is not None and parts.scheme not in _SCHEMES:
        raise RedisUrlError("it starts with redis://, rediss:// or unix://")
    if parts is None or parts.fragment or "@" in parts.path + parts.query or "#" in url:
        raise RedisUrlError(
            "the port is no number, or a character of user name, password or path is not "
            "percent-encoded (@ is %40, / is %2F, # is %23, ? is %3F)"
        )
    return parts


def _parse_options(parts: SplitResult) -> dict[str, str]:
    try:
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise RedisUrlError("an option is not of the form name=value") from None
    options: dict[str, str] = {}
    for name, value in pairs:
        if name not in _CONNECTION_OPTIONS + _TLS_OPTIONS:
            raise RedisUrlError(f"the option {name[:40]!r} is not supported")
        if name in options:
            raise RedisUrlError(f"{name} is set twice")
        options[name] = value
    return options


def _parse_location(parts: SplitResult) -> dict[str, Any]:
    if parts.scheme == "unix":
        if parts.netloc.rpartition("@")[2] or parts.path in ("", "/"):
            raise RedisUrlError("unix:// needs an absolute path, as in unix:///run/redis.sock")
        return {"unix_path": unquote(parts.path)}
    location: dict[str, Any] = {}
    if parts.hostname:
        location["host"] = unquote(parts.hostname)
    if parts.port is not None:
        if not 0 < parts.port <= _MAX_PORT:
            raise RedisUrlError("the port is not between 1 and 65535")
        location["port"] = parts.port
    return location


def _parse_db(parts: SplitResult, options: dict[str, str]) -> int:
    in_path = "" if parts.scheme == "unix" else parts.path.removeprefix("/")
    texts = {text for text in (in_path, options.get("db", "")) if text}
    if len(texts) > 1:
        raise RedisUrlError("db is set twice")
    text = texts.pop() if texts else "0"
    if not (text.isascii() and text.isdigit()):
        raise RedisUrlError("db is no number")
    return int(text)


def _parse_seconds(options: dict[str, str], name: str) -> float | None:
    if name not in options:
        return None
    try:
        value = float(options[name])
    except ValueError:
        raise RedisUrlError(f"{name} is no number") from None
    if not (math.isfinite(value) and value > 0):
        raise RedisUrlError(f"{name} is no number of seconds above 0")
    return value


def _parse_bool(options: dict[str, str], name: str, *, default: bool) -> bool:
    text = options.get(name, str(default)).lower()
    if text not in _TRUE + _FALSE:
        raise RedisUrlError(f"{name} is neither true nor false")
    return text in _TRUE


def _parse_tls(texts: dict[str, str]) -> dict[str, Any]:
    """redis-py's ssl_* options, with the values that its clients take."""
    options: dict[str, Any] = dict(texts)
    if texts.get("ssl_cert_reqs", "required") not in _CERT_REQS:
        raise RedisUrlError(
            f"ssl_cert_reqs is none, optional or required, not {texts['ssl_cert_reqs']}"
        )
    options["ssl_check_hostname"] = _parse_bool(texts, "ssl_check_hostname", default=True)
    if "ssl_min_version" in texts:
        try:
            options["ssl_min_version"] = ssl.TLSVersion(int(texts["ssl_min_version"]))
        except ValueError:
            raise RedisUrlError(
                f"ssl_min_version is 771 (TLS 1.2) or 772 (TLS 1.3), not {texts['ssl_min_version']}"
            ) from None
    return options


def _build_tls_context(options: dict[str, Any]) -> ssl.SSLContext:
    """A context with the semantics that redis-py gives to these options."""
    context = ssl.create_default_context()
    verify_mode = _CERT_REQS[options.get("cert_reqs", "required")]
    context.check_hostname = verify_mode != ssl.CERT_NONE and options["check_hostname"]
    context.verify_mode = verify_mode
    if options.get("certfile") or options.get("keyfile"):
        if not options.get("certfile"):
            raise ValueError("ssl_keyfile needs ssl_certfile")
        context.load_cert_chain(
            options["certfile"], options.get("keyfile"), options.get("password")
        )
    authorities = [options.get(name) for name in ("ca_certs", "ca_path", "ca_data")]
    if any(authorities):
        context.load_verify_locations(*authorities)
    if "min_version" in options:
        context.minimum_version = options["min_version"]
    if "ciphers" in options:
        context.set_ciphers(options["ciphers"])
    return context
