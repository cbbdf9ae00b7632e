"""Errors of the service, each with a stable code. They know no HTTP; `api/errors.py` maps them.

RerankError
|- RequestError             the request gets an error response
|  |- Unauthorized          no valid token
|  |- PathNotFound          no such path
|  |- MethodNotAllowed      the path exists with other methods
|  |- MalformedHttp         the bytes are no HTTP request that this service reads
|  |- UnsupportedMediaType  a content type or encoding that is not supported
|  |- SizeLimitExceeded     HeadTooLarge, BodyTooLarge: over the limit
|  |- BodyTooSlow           the body did not arrive in time
|  |- LimitExceeded         a size of the request is above a limit of this service
|  |- Overloaded            too many requests in flight and waiting
|  |- NotReady              no verified artifact yet
|  |- ShuttingDown          the process is shutting down
|  |- NoPreviousArtifact    there is no previous artifact
|  |- ReloadInProgress      another artifact is being loaded
|  `- InternalError         an unexpected exception
`- DegradationError         the response lacks something and names it in `degraded`
   |- FeaturesUnavailable   the store was late, down or sent unreadable bytes
   |- DeadlineExceeded      no time is left for the next step
   `- InferenceFailed       ONNX Runtime refused a run
"""

from __future__ import annotations

from typing import Any, Literal

StoreFault = Literal["timeout", "down", "unreadable"]


class RerankError(Exception):
    """Root of the service's errors; `code` is stable, clients and dashboards switch on it."""

    code = "rerank_error"

    @property
    def details(self) -> dict[str, Any]:
        """Facts for the caller; never a secret, an id of a user or a stack trace."""
        return {}


class RequestError(RerankError):
    """The request is refused; `api/errors.py` has the HTTP status of each leaf."""


class DegradationError(RerankError):
    """A part of the response is unavailable; the use case responds without it and names it."""


class Unauthorized(RequestError):
    """No token, or a token that this service does not accept."""

    code = "unauthorized"

    def __init__(self) -> None:
        super().__init__("a valid bearer token is needed")


class PathNotFound(RequestError):
    """No such path."""

    code = "not_found"

    def __init__(self) -> None:
        super().__init__("no such path")


class MethodNotAllowed(RequestError):
    """The path exists with other methods."""

    code = "method_not_allowed"

    def __init__(self, *, allowed: str) -> None:
        super().__init__(f"this path takes {allowed}" if allowed else "another method is meant")
        self.allowed = allowed


class MalformedHttp(RequestError):
    """The bytes are no HTTP request, or none that this service reads."""

    code = "malformed_http"

    def __init__(self, reason: str = "this is no HTTP request") -> None:
        super().__init__(reason)


class SizeLimitExceeded(RequestError):
    """A part of the request is longer than the limit; the leaves name the part."""

    subject = "the request"

    def __init__(self, *, limit_bytes: int) -> None:
        super().__init__(f"{self.subject} may have at most {limit_bytes} bytes")
        self.limit_bytes = limit_bytes

    @property
    def details(self) -> dict[str, Any]:
        """The limit."""
        return {"limit_bytes": self.limit_bytes}


class HeadTooLarge(SizeLimitExceeded):
    """Request line and headers are over the limit."""

    code, subject = "head_too_large", "request line and headers"


class BodyTooLarge(SizeLimitExceeded):
    """The body is over the limit, by its announced or its received length."""

    code, subject = "body_too_large", "the body"


class UnsupportedMediaType(RequestError):
    """A header announces a body that is not plain JSON."""

    code = "unsupported_media"

    def __init__(self, *, header: str, requirement: str) -> None:
        super().__init__(f"{header}: {requirement}")
        self.header, self.requirement = header, requirement

    @property
    def details(self) -> dict[str, Any]:
        """The header and its rule."""
        return {"header": self.header, "rule": self.requirement}


class BodyTooSlow(RequestError):
    """The body was incomplete at its timeout."""

    code = "body_too_slow"

    def __init__(self, *, limit_ms: int, received_bytes: int) -> None:
        super().__init__(f"the body was not whole after {limit_ms} ms")
        self.limit_ms, self.received_bytes = limit_ms, received_bytes

    @property
    def details(self) -> dict[str, Any]:
        """The time limit and the bytes received."""
        return {"limit_ms": self.limit_ms, "received_bytes": self.received_bytes}


class LimitExceeded(RequestError):
    """A size that the wire format allows and this process does not."""

    code = "limit_exceeded"

    def __init__(self, *, field: str, limit: int, actual: int) -> None:
        super().__init__(f"{field}: at most {limit}, not {actual}")
        self.field, self.limit, self.actual = field, limit, actual

    @property
    def details(self) -> dict[str, Any]:
        """Field, limit and received size."""
        return {"field": self.field, "limit": self.limit, "found": self.actual}


class Overloaded(RequestError):
    """All slots in flight and in the queue are taken."""

    code = "overloaded"

    def __init__(self, *, in_flight: int, waiting: int, retry_after_s: int = 1) -> None:
        super().__init__(f"{in_flight} requests in flight and {waiting} waiting")
        self.retry_after_s = retry_after_s

    @property
    def details(self) -> dict[str, Any]:
        """Seconds after which to retry."""
        return {"retry_after_s": self.retry_after_s}


class NotReady(RequestError):
    """No verified, warmed-up artifact yet."""

    code = "not_ready"

    def __init__(self) -> None:
        super().__init__("no verified artifact is loaded yet")


class ShuttingDown(RequestError):
    """The process is shutting down and accepts no new requests."""

    code = "shutting_down"

    def __init__(self) -> None:
        super().__init__("this process is shutting down")


class NoPreviousArtifact(RequestError):
    """No previous artifact is loaded."""

    code = "nothing_to_roll_back"

    def __init__(self) -> None:
        super().__init__("no previous artifact stands by")


class ReloadInProgress(RequestError):
    """Another change of the artifact is in progress."""

    code = "reload_running"

    def __init__(self) -> None:
        super().__init__("another artifact is being loaded")


class InternalError(RequestError):
    """An unexpected exception; the log names it, the response does not."""

    code = "internal"

    def __init__(self) -> None:
        super().__init__("an internal error; the log names it under this request id")


class FeaturesUnavailable(DegradationError):
    """The store answered late, not at all, or with bytes that cannot be read."""

    code = "features_unavailable"

    def __init__(
        self, *, store: str, fault: StoreFault, waited_ms: float, budget_ms: float
    ) -> None:
        super().__init__(f"{store}: {fault} after {waited_ms:.1f} ms (budget {budget_ms:.1f} ms)")
        self.store, self.fault = store, fault
        self.waited_ms, self.budget_ms = waited_ms, budget_ms


class DeadlineExceeded(DegradationError):
    """The deadline has passed, or the next step would not end before it."""

    code = "deadline_exceeded"

    def __init__(self, *, stage: str, remaining_ms: float, required_ms: float = 0.0) -> None:
        super().__init__(f"{stage}: {remaining_ms:.1f} ms left, {required_ms:.1f} ms needed")
        self.stage, self.remaining_ms, self.required_ms = stage, remaining_ms, required_ms


class InferenceFailed(DegradationError):
    """ONNX Runtime raised an error instead of returning lists or probabilities."""

    code = "inference_failed"

    def __init__(self, *, graph: str, reason: str) -> None:
        super().__init__(f"{graph}: {reason}")
        self.graph, self.reason = graph, reason
