"""HTTP client of the demo: standard library only, with timeouts."""

from __future__ import annotations

import http.client
import json
import subprocess
import time
import urllib.error
import urllib.request
from typing import Any

_TIMEOUT_S = 10.0
_POLL_INTERVAL_S = 0.1


class DemoServiceError(Exception):
    """The service did not start, or answered with an error; the message says which."""


def wait_for_demo_service(base: str, process: subprocess.Popen[bytes], timeout_s: float) -> None:
    """Return when the service is ready; raises DemoServiceError when it ends or is late."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        if process.poll() is not None:
            raise DemoServiceError(
                f"the service ended with status {process.returncode} at its start"
            )
        try:
            with urllib.request.urlopen(f"{base}/health/ready", timeout=_TIMEOUT_S):
                return
        except (OSError, http.client.HTTPException):  # or the peer is no HTTP server
            time.sleep(_POLL_INTERVAL_S)
    raise DemoServiceError(f"the service was not ready after {timeout_s:.0f} s")


def post_rerank(base: str, request: dict[str, Any]) -> dict[str, Any]:
    """POST /rerank; raises DemoServiceError with the service's message for an error status."""
    sent = urllib.request.Request(
        f"{base}/rerank",
        data=json.dumps(request).encode(),
        headers={"content-type": "application/json"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(sent, timeout=_TIMEOUT_S) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        raise DemoServiceError(
            f"HTTP {error.code}: {error.read().decode(errors='replace')}"
        ) from error
    except (urllib.error.URLError, OSError) as error:
        raise DemoServiceError(f"no answer from {base}: {error}") from error
