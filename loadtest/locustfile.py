"""The locustfile: `locust -f loadtest/locustfile.py --host http://127.0.0.1:8000 --requests ..`.

Each locust "user" is a source of arrivals that sends its share of the rate; `--shape` and `--rate`
set the load.
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
] = {}  # locust constructs users and shapes itself, so they find their process here


class ArrivalSource(User):
    """A source with its share of the arrivals."""

    @task
    def send_arrivals(self) -> None:
        """Send until the run's end, then wait for locust's stop."""
        station = _runs[self.environment].sender
        if station is not None:
            station.run_source()
        while True:
            sleep(1)

    def on_stop(self) -> None:
        """Wait for requests in flight before this process sends its last report."""
        run = _runs[self.environment]
        if run.sender is not None:
            run.sender.finished.wait(run.options.timeout + 2.0)


class ConstantSourcesShape(LoadTestShape):
    """All sources from the start until every process has sent its last report."""

    def tick(self) -> tuple[int, float] | None:
        """Number of sources, and how many may start per second; None ends the run."""
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
