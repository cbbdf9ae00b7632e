"""Errors of the service: facts with a stable code. They know no HTTP; `api/answers.py` maps them.

RerankError
|- Refusal                the request gets an error answer
|  |- Unauthorized          no valid token
|  |- NoSuchPath            no such address
|  |- MethodNotAllowed      another method is meant
|  |- UnsupportedMedia      a content type or encoding that is not read
|  |- TooManyBytes          HeadTooLarge, BodyTooLarge: over the limit
|  |- BodyTooSlow           the body did not arrive in time
|  |- LimitExceeded         a size of the request is above a limit of this service
|  |- Overloaded            too many requests in flight and waiting
|  |- NotReady              no verified artifact yet
|  |- ShuttingDown          the process is on its way out
|  |- NothingToRollBack     there is no previous artifact
|  |- ReloadRunning         another artifact is being loaded
|  `- Internal              a fault of ours
`- Setback                the answer goes without something and says so in `degraded`
   |- FeaturesUnavailable   the store was late, down or gave unreadable bytes
   |- BudgetSpent           no time is left for what comes next
   `- GraphFailed           ONNX Runtime refused a run
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


class Refusal(RerankError):
    """The request is refused; the api room knows the status of each leaf."""


class Setback(RerankError):
    """Something is missing; the use case answers without it and names it."""


class Unauthorized(Refusal):
    """No token, or not one that this service knows."""

    code = "unauthorized"

    def __init__(self) -> None:
        super().__init__("a valid bearer token is needed")


class NoSuchPath(Refusal):
    """No such address."""

    code = "not_found"

    def __init__(self) -> None:
        super().__init__("no such path")


class MethodNotAllowed(Refusal):
    """The address exists, with other methods."""

    code = "method_not_allowed"

    def __init__(self, *, allowed: str) -> None:
        super().__init__(f"this path takes {allowed}" if allowed else "another method is meant")
        self.allowed = allowed


class MalformedHttp(Refusal):
    """The bytes are no HTTP request, or none that this service reads."""

    code = "malformed_http"

    def __init__(self, why: str = "this is no HTTP request") -> None:
        super().__init__(why)


class TooManyBytes(Refusal):
    """Something is longer than this process reads; the leaves say what."""

    what = "the request"

    def __init__(self, *, limit_bytes: int) -> None:
        super().__init__(f"{self.what} may have at most {limit_bytes} bytes")
        self.limit_bytes = limit_bytes

    @property
    def details(self) -> dict[str, Any]:
        """The limit."""
        return {"limit_bytes": self.limit_bytes}


class HeadTooLarge(TooManyBytes):
    """Request line and headers are over the limit."""

    code, what = "head_too_large", "request line and headers"


class BodyTooLarge(TooManyBytes):
    """The body is over the limit, announced or counted."""

    code, what = "body_too_large", "the body"


class UnsupportedMedia(Refusal):
    """A header announces a body that is not plain JSON."""

    code = "unsupported_media"

    def __init__(self, *, header: str, rule: str) -> None:
        super().__init__(f"{header}: {rule}")
        self.header, self.rule = header, rule

    @property
    def details(self) -> dict[str, Any]:
        """The header and its rule."""
        return {"header": self.header, "rule": self.rule}


class BodyTooSlow(Refusal):
    """The body was not whole when its time was over."""

    code = "body_too_slow"

    def __init__(self, *, limit_ms: int, received_bytes: int) -> None:
        super().__init__(f"the body was not whole after {limit_ms} ms")
        self.limit_ms, self.received_bytes = limit_ms, received_bytes

    @property
    def details(self) -> dict[str, Any]:
        """The limit and what had come."""
        return {"limit_ms": self.limit_ms, "received_bytes": self.received_bytes}


class LimitExceeded(Refusal):
    """A size that is right by the contract but above what this process takes."""

    code = "limit_exceeded"

    def __init__(self, *, field: str, limit: int, found: int) -> None:
        super().__init__(f"{field}: at most {limit}, not {found}")
        self.field, self.limit, self.found = field, limit, found

    @property
    def details(self) -> dict[str, Any]:
        """Field, limit and what was sent."""
        return {"field": self.field, "limit": self.limit, "found": self.found}


class Overloaded(Refusal):
    """Every place in flight and in the waiting room is taken."""

    code = "overloaded"

    def __init__(self, *, in_flight: int, waiting: int, retry_after_s: int = 1) -> None:
        super().__init__(f"{in_flight} requests in flight and {waiting} waiting")
        self.retry_after_s = retry_after_s

    @property
    def details(self) -> dict[str, Any]:
        """When to come again."""
        return {"retry_after_s": self.retry_after_s}


class NotReady(Refusal):
    """No verified, warmed-up artifact yet."""

    code = "not_ready"

    def __init__(self) -> None:
        super().__init__("no verified artifact is loaded yet")


class ShuttingDown(Refusal):
    """The process was told to stop and takes no new work."""

    code = "shutting_down"

    def __init__(self) -> None:
        super().__init__("this process is shutting down")


class NothingToRollBack(Refusal):
    """No previous artifact stands by."""

    code = "nothing_to_roll_back"

    def __init__(self) -> None:
        super().__init__("no previous artifact stands by")


class ReloadRunning(Refusal):
    """One change of artifact at a time."""

    code = "reload_running"

    def __init__(self) -> None:
        super().__init__("another artifact is being loaded")


class Internal(Refusal):
    """A fault of ours; the log names it, the answer does not."""

    code = "internal"

    def __init__(self) -> None:
        super().__init__("an internal error; the log names it under this request id")


class FeaturesUnavailable(Setback):
    """The store answered late, not at all, or with bytes that cannot be read."""

    code = "features_unavailable"

    def __init__(
        self, *, store: str, fault: StoreFault, waited_ms: float, budget_ms: float
    ) -> None:
        super().__init__(f"{store}: {fault} after {waited_ms:.1f} ms (budget {budget_ms:.1f} ms)")
        self.store, self.fault = store, fault
        self.waited_ms, self.budget_ms = waited_ms, budget_ms


class BudgetSpent(Setback):
    """The deadline has passed, or the next step would not be done before it."""

    code = "budget_spent"

    def __init__(self, *, stage: str, left_ms: float, needed_ms: float = 0.0) -> None:
        super().__init__(f"{stage}: {left_ms:.1f} ms left, {needed_ms:.1f} ms needed")
        self.stage, self.left_ms, self.needed_ms = stage, left_ms, needed_ms


class GraphFailed(Setback):
    """ONNX Runtime gave an error where lists or probabilities were due."""

    code = "graph_failed"

    def __init__(self, *, graph: str, why: str) -> None:
        super().__init__(f"{graph}: {why}")
        self.graph, self.why = graph, why
