"""The container's health check: exit status 0 when the service is ready."""

from __future__ import annotations

import http.client
import os
import sys

_TIMEOUT_S = 2.0


def main() -> int:
    """Ask /health/ready once."""
    port = int(os.environ.get("RERANK_PORT", "8000"))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/health/ready")
        return int(connection.getresponse().status != http.client.OK)
    except (OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
