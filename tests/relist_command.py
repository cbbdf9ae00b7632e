"""Runs the command line `relist` inside the test's process."""

import pytest

from service.cli.main import build_cli


def run_relist(*arguments: object) -> int:
    """Exit status of `relist` with these arguments; its output goes to the captured streams."""
    with pytest.raises(SystemExit) as end:
        build_cli()([str(argument) for argument in arguments], prog_name="relist")
    return int(end.value.code or 0)
