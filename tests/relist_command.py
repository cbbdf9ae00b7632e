"""Runs the command line `relist` inside the test's process."""

import pytest

from service.cli.main import build_app


def run_relist(*arguments: object) -> int:
    """Exit status of `relist` with these arguments; its output goes to the captured streams."""
    with pytest.raises(SystemExit) as end:
        build_app()([str(argument) for argument in arguments])
    return int(end.value.code or 0)
