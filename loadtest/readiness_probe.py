"""Waits until the service under load is ready."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request

_POLL_S = 0.2
_TIMEOUT_S = 5.0


def wait_for_service(base_url: str, timeout_s: float) -> str | None:
    """None once `GET /health/ready` answers 200; after `seconds`, the reason why it does not."""
    until = time.monotonic() + timeout_s
    address = f"{base_url.rstrip('/')}/health/ready"
    while True:
        try:
            with urllib.request.urlopen(address, timeout=_TIMEOUT_S):
                return None
        except urllib.error.HTTPError as error:
            why = f"HTTP {error.code}"
        except (OSError, http.client.HTTPException) as error:  # or the peer is no HTTP server
            why = str(getattr(error, "reason", error))
        if time.monotonic() >= until:
            return f"no service is ready at {address} ({why}, waited {timeout_s:g} s)"
        time.sleep(_POLL_S)
