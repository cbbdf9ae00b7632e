"""Options of a run on locust's command line and web page, and the objects built from them.

Every option has an environment variable: `--max-outstanding` is `LOCUST_MAX_OUTSTANDING`.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from loadtest.load_shapes import SHAPE_KINDS, LoadShape
from loadtest.sender import SenderConfig
from loadtest.verdict import LoadObjective
from loadtest.workload import RequestOverrides, read_workload

# name, type, default, help
_OPTIONS: tuple[tuple[str, Any, Any, str], ...] = (
    ("requests", str, "runs/movielens/generator/requests.jsonl", "requests.jsonl of a run"),
    ("rate", float, 100.0, "requests per second, of all processes together"),
    ("duration", float, 60.0, "seconds"),
    ("ramp-from", float, 0.1, "ramp: share of the rate to begin with"),
    ("spike-factor", float, 5.0, "spike: times the rate"),
    ("spike-seconds", float, 10.0, "spike: how long, in the middle of the run"),
    ("soak-swing", float, 0.3, "soak: share of the rate that it swings by"),
    ("soak-period", float, 600.0, "soak: seconds from one high to the next"),
    ("zipf", float, 1.0, "exponent of the law of users: 0 is all alike, 1 the usual web"),
    ("max-outstanding", int, 512, "requests under way at once; what is due above that fails"),
    ("timeout", float, 2.0, "seconds after which a request has failed"),
    ("candidates", int, None, "candidates of a request (default: as logged)"),
    ("num-lists", int, None, "lists to generate (default: the service's)"),
    ("list-size", int, None, "slots of a list (default: the artifact's)"),
    ("budget-ms", float, None, "budget of a request (default: the service's)"),
    ("load-seed", int, 1, "seed of arrivals and users"),
    ("objective-p99-ms", float, 50.0, "objective: p99 of answers"),
    ("objective-errors", float, 0.001, "objective: share of arrivals that fail"),
    ("objective-degraded", float, 0.01, "objective: share of answers that are degraded"),
    ("objective-achieved", float, 0.95, "objective: answers per second, as a share of arrivals"),
    ("objective-lag-ms", float, 10.0, "p99 of this generator's own lateness; above: no verdict"),
    ("verdict-json", str, None, "write the verdict to this file too"),
    ("wait-ready", float, 10.0, "seconds to wait for the service before the load begins"),
)


def add_options(parser: ArgumentParser) -> None:
    """Declare all options on locust's parser (a group of its own would hide them on the page)."""
    parser.add_argument(
        "--shape",
        choices=SHAPE_KINDS,
        default="steady",
        env_var="LOCUST_SHAPE",
        help="rate over time",
    )
    for name, kind, default, told in _OPTIONS:
        parser.add_argument(
            f"--{name}",
            type=kind,
            default=default,
            env_var=f"LOCUST_{name.upper().replace('-', '_')}",
            help=told if default is None else f"{told} (default: {default})",
        )
    parser.add_argument(
        "--token",
        default=None,
        env_var="LOCUST_TOKEN",
        help="bearer token of the service; better by LOCUST_TOKEN than on the command line",
        include_in_web_ui=False,
    )


def build_load_shape(options: Namespace) -> LoadShape:
    """The rate over time; raises ValueError for inconsistent options."""
    return LoadShape(
        kind=options.shape,
        rate=options.rate,
        duration_s=options.duration,
        ramp_from=options.ramp_from,
        spike_factor=options.spike_factor,
        spike_s=options.spike_seconds,
        soak_swing=options.soak_swing,
        soak_period_s=options.soak_period,
    )


def build_load_objective(options: Namespace) -> LoadObjective:
    """The objective that the run must meet."""
    return LoadObjective(
        p99_ms=options.objective_p99_ms,
        error_ratio=options.objective_errors,
        degraded_share=options.objective_degraded,
        achieved_share=options.objective_achieved,
        send_lag_ms=options.objective_lag_ms,
    )


def build_sender_config(options: Namespace, worker_index: int) -> SenderConfig:
    """Configuration of process number `worker`; raises ValueError or WorkloadError."""
    if options.max_outstanding < 1 or options.timeout <= 0:
        raise ValueError("max-outstanding and timeout must be above 0")
    asked = RequestOverrides(
        candidates=options.candidates,
        num_lists=options.num_lists,
        list_size=options.list_size,
        budget_ms=options.budget_ms,
    )
    return SenderConfig(
        shape=build_load_shape(options),
        workload=read_workload(Path(options.requests), options.zipf, asked),
        max_outstanding=options.max_outstanding,
        timeout_s=options.timeout,
        seed=options.load_seed * 1000 + worker_index,
    )
