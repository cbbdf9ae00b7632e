"""A URL of Redis that cannot be used ends the start with a message."""

import subprocess
import sys

import pytest

from tests.service.serving import own_environment


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("rediss://localhost?ssl_validate_ocsp=true", "ssl_validate_ocsp"),
        ("redis://:se/cret@localhost", "percent-encoded"),
        ("redis://localhost?max_connections=3", "max_connections"),
        ("unix://localhost/r.sock", "absolute path"),
    ],
)
def test_service_start_with_invalid_redis_url_fails(artifact_folder, url, said):
    done = subprocess.run(
        [sys.executable, "-m", "service.cli.main", "serve"],
        env=own_environment(artifact_dir=artifact_folder, port=0, redis_url=url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "'se'" not in done.stderr
