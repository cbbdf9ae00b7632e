"""Listeners of one process of a locust run: a leader, a worker, or both at once."""

from __future__ import annotations

import logging
import sys
from argparse import Namespace
from typing import Any, NoReturn

from locust.env import Environment
from locust.rpc.protocol import Message
from locust.runners import LocalRunner, WorkerRunner
from locust.web import WebUI

from loadtest.aggregator import ResultAggregator
from loadtest.client import RerankClient
from loadtest.load_options import build_load_objective, build_load_shape, build_sender_config
from loadtest.readiness_probe import wait_for_service
from loadtest.sender import LoadSender
from loadtest.workload import WorkloadError

EXIT_CANNOT_RUN = 2  # exit status; 1 is a missed objective
_TALLY = "relist_run_counts"
_WRONG = (ValueError, WorkloadError)


class LocustProcess:
    """State of this process in the current run.

    is_leader: this process collects all counts and prints the verdict.
    is_sender: this process sends requests; a single process does both.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.is_leader = not isinstance(environment.runner, WorkerRunner)
        self.is_sender = isinstance(environment.runner, WorkerRunner | LocalRunner)
        self.aggregator: ResultAggregator | None = None
        self.sender: LoadSender | None = None
        self._running = self._refused = False
        self._begun = 0  # number of runs

    @property
    def finished(self) -> bool:
        """Whether every process has sent its last report or is overdue, or the run was refused."""
        return self._refused or (
            self._running and self.aggregator is not None and self.aggregator.finished
        )

    @property
    def options(self) -> Namespace:
        """The current options: the web page may change them between two runs."""
        given = self._environment.parsed_options
        if given is None:
            raise RuntimeError("locust has not parsed its options yet")
        return given

    def validate(self, web_ui: WebUI | None) -> None:
        """Refuse options that cannot run before anything is sent; the leader prints the reason."""
        host = self._environment.host
        at_once = web_ui is None or bool(self.options.autostart)
        try:
            build_sender_config(self.options, 0)
            if at_once or host:
                RerankClient(host or "", timeout_s=self.options.timeout).close()
        except _WRONG as error:
            self._give_up(str(error))
        fault = at_once and self.is_leader and wait_for_service(host or "", self.options.wait_ready)
        if fault:
            self._give_up(fault)

    def register_listeners(self, web_ui: WebUI | None) -> None:
        """Listen to locust's events from now on."""
        events, runner = self._environment.events, self._environment.runner
        events.test_start.add_listener(self._on_test_start)
        events.test_stop.add_listener(self._on_test_stop)
        events.quitting.add_listener(self._on_quitting)
        if self.is_leader and runner is not None:
            runner.register_message(_TALLY, self._on_tally)
        if web_ui is not None and web_ui.app is not None:
            web_ui.app.add_url_rule("/verdict", "verdict", self._verdict)

    def _on_test_start(self, **_: object) -> None:
        runner, given = self._environment.runner, self.options
        self._running = True
        self._begun += 1
        self.aggregator = self.sender = None
        try:
            if self.is_sender:
                client = RerankClient(
                    self._environment.host or "", timeout_s=given.timeout, token=given.token
                )
                plan = build_sender_config(given, getattr(runner, "worker_index", 0))
                self.sender = LoadSender(plan, client, self._publish, self._observe)
            if self.is_leader:
                processes = max(1, getattr(runner, "worker_count", 1))
                self.aggregator = ResultAggregator(
                    build_load_shape(given), build_load_objective(given), given.timeout, processes
                )
        except _WRONG as error:  # started from the web page: the run ends at once
            self._refused = True
            logging.getLogger(__name__).error("this cannot run: %s", error)

    def _publish(self, counted: dict[str, Any], last: bool) -> None:
        runner = self._environment.runner
        if runner is not None:
            runner.send_message(_TALLY, {"counted": counted, "last": last})

    def _observe(self, reason: str | None, ms: float | None, size: int) -> None:
        """Report to locust's own statistics: its page, its CSV and its HTML report."""
        self._environment.events.request.fire(
            request_type="POST",
            name="/rerank",
            response_time=ms,
            response_length=size,
            exception=reason,
            context={},
            response=None,
        )

    def _on_tally(self, msg: Message, **_: object) -> None:
        if self.aggregator is not None and msg.data is not None:
            self.aggregator.add(msg.data["counted"], is_last=msg.data["last"])

    def _on_test_stop(self, **_: object) -> None:
        """Print the verdict of a run from the web page; a headless run prints it on quitting."""
        self._running = self._refused = False
        if self.aggregator is not None and self._environment.web_ui is not None:
            self.aggregator.write_verdict(self.options.verdict_json)

    def _on_quitting(self, **_: object) -> None:
        """Print the verdict and set the exit status."""
        code = 0
        if self.aggregator is not None:
            if self._environment.web_ui is None:
                self.aggregator.write_verdict(self.options.verdict_json)
            code = int(not self.aggregator.verdict().met)
        self._environment.process_exit_code = code

    def _verdict(self) -> dict[str, Any]:
        """JSON of the last run's verdict, for programs that poll the web page."""
        found = {} if self.aggregator is None else self.aggregator.verdict().to_json()
        return {"run": self._begun, "running": self._running} | found

    def _give_up(self, why: str) -> NoReturn:
        if self.is_leader:
            sys.stderr.write(f"error: {why}\n")
        sys.exit(EXIT_CANNOT_RUN if self.is_leader else 0)
