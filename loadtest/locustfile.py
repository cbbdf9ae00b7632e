"""What locust runs: `locust -f loadtest/locustfile.py --host http://127.0.0.1:8000 --requests ..`.

Locust's "users" are sources of arrivals here, of which each sends its share of the rate; how much
load there is, `--shape` and `--rate` say.
"""

from __future__ import annotations

from argparse import ArgumentParser

from gevent import sleep
from locust import LoadTestShape, User, events, task
from locust.env import Environment
from locust.web import WebUI

from loadtest.load_options import add_options
from loadtest.locust_process import LocustProcess
from loadtest.sender import SOURCE_COUNT

_runs: dict[
    Environment, LocustProcess
] = {}  # locust makes users and shapes by itself: here they find theirs


class ArrivalSource(User):
    """A share of the arrivals."""

    @task
    def send_arrivals(self) -> None:
        """Send until the run's end, then wait to be stopped."""
        station = _runs[self.environment].sender
        if station is not None:
            station.run_source()
        while True:
            sleep(1)

    def on_stop(self) -> None:
        """Let what is under way come back before this process reports for the last time."""
        run = _runs[self.environment]
        if run.sender is not None:
            run.sender.finished.wait(run.options.timeout + 2.0)


class ConstantSourcesShape(LoadTestShape):
    """All sources from the first moment until every process has reported for the last time."""

    def tick(self) -> tuple[int, float] | None:
        """How many sources there are to be, and how many may start in a second."""
        if self.runner is None or _runs[self.runner.environment].finished:
            return None
        return SOURCE_COUNT, SOURCE_COUNT


def _declare(parser: ArgumentParser, **_: object) -> None:
    add_options(parser)


def _prepare(environment: Environment, web_ui: WebUI | None, **_: object) -> None:
    run = _runs[environment] = LocustProcess(environment)
    run.validate(web_ui)
    run.register_listeners(web_ui)


events.init_command_line_parser.add_listener(_declare)
events.init.add_listener(_prepare)
