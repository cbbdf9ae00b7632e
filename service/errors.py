"""Errors of the service: facts with a stable code. They know no HTTP; `api/answers.py` maps them.

RerankError
|- Refusal                the request gets an error answer
|  |- Unauthorized          no valid token
|  |- PathNotFound            no such address
|  |- MethodNotAllowed      another method is meant
|  |- UnsupportedMediaType      a content type or encoding that is not read
|  |- SizeLimitExceeded          HeadTooLarge, BodyTooLarge: over the limit
|  |- BodyTooSlow           the body did not arrive in time
|  |- LimitExceeded         a size of the request is above a limit of this service
|  |- Overloaded            too many requests in flight and waiting
|  |- NotReady              no verified artifact yet
|  |- ShuttingDown          the process is on its way out
|  |- NoPreviousArtifact     there is no previous artifact
|  |- ReloadInProgress         another artifact is being loaded
|  `- Internal              a fault of ours
`- Setback                the answer goes without something and says so in `degraded`
   |- FeaturesUnavailable   the store was late, down or gave unreadable bytes
   |- DeadlineExceeded           no time is left for what comes next
   `- InferenceFailed           ONNX Runtime refused a run
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
    """The request is refused; the api room knows the status of each leaf."""


class DegradationError(RerankError):
    """Something is missing; the use case answers without it and names it."""


class Unauthorized(RequestError):
    """No token, or not one that this service knows."""

    code = "unauthorized"

    def __init__(self) -> None:
        super().__init__("a valid bearer token is needed")


class PathNotFound(RequestError):
    """No such address."""

    code = "not_found"

    def __init__(self) -> None:
        super().__init__("no such path")


class MethodNotAllowed(RequestError):
    """The address exists, with other methods."""

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
    """Something is longer than this process reads; the leaves say what."""

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
    """The body is over the limit, announced or counted."""

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
    """The body was not whole when its time was over."""

    code = "body_too_slow"

    def __init__(self, *, limit_ms: int, received_bytes: int) -> None:
        super().__init__(f"the body was not whole after {limit_ms} ms")
        self.limit_ms, self.received_bytes = limit_ms, received_bytes

    @property
    def details(self) -> dict[str, Any]:
        """The limit and what had come."""
        return {"limit_ms": self.limit_ms, "received_bytes": self.received_bytes}


class LimitExceeded(RequestError):
    """A size that is right by the contract but above what this process takes."""

    code = "limit_exceeded"

    def __init__(self, *, field: str, limit: int, actual: int) -> None:
        super().__init__(f"{field}: at most {limit}, not {actual}")
        self.field, self.limit, self.actual = field, limit, actual

    @property
    def details(self) -> dict[str, Any]:
        """Field, limit and what was sent."""
        return {"field": self.field, "limit": self.limit, "found": self.actual}


class Overloaded(RequestError):
    """Every place in flight and in the waiting room is taken."""

    code = "overloaded"

    def __init__(self, *, in_flight: int, waiting: int, retry_after_s: int = 1) -> None:
        super().__init__(f"{in_flight} requests in flight and {waiting} waiting")
        self.retry_after_s = retry_after_s

    @property
    def details(self) -> dict[str, Any]:
        """When to come again."""
        return {"retry_after_s": self.retry_after_s}


class NotReady(RequestError):
    """No verified, warmed-up artifact yet."""

    code = "not_ready"

    def __init__(self) -> None:
        super().__init__("no verified artifact is loaded yet")


class ShuttingDown(RequestError):
    """The process was told to stop and takes no new work."""

    code = "shutting_down"

    def __init__(self) -> None:
        super().__init__("this process is shutting down")


class NoPreviousArtifact(RequestError):
    """No previous artifact stands by."""

    code = "nothing_to_roll_back"

    def __init__(self) -> None:
        super().__init__("no previous artifact stands by")


class ReloadInProgress(RequestError):
    """One change of artifact at a time."""

    code = "reload_running"

    def __init__(self) -> None:
        super().__init__("another artifact is being loaded")


class InternalError(RequestError):
    """A fault of ours; the log names it, the answer does not."""

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
    """The deadline has passed, or the next step would not be done before it."""

    code = "deadline_exceeded"

    def __init__(self, *, stage: str, remaining_ms: float, required_ms: float = 0.0) -> None:
        super().__init__(f"{stage}: {remaining_ms:.1f} ms left, {required_ms:.1f} ms needed")
        self.stage, self.remaining_ms, self.required_ms = stage, remaining_ms, required_ms


class InferenceFailed(DegradationError):
    """ONNX Runtime gave an error where lists or probabilities were due."""

    code = "inference_failed"

    def __init__(self, *, graph: str, reason: str) -> None:
        super().__init__(f"{graph}: {reason}")
        self.graph, self.reason = graph, reason
