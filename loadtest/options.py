"""Options of a run on locust's command line and web page, and the objects made of them.

Every option may come by environment: `--max-outstanding` as `LOCUST_MAX_OUTSTANDING`.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from loadtest.shapes import KINDS, Shape
from loadtest.station import Plan
from loadtest.traffic import Asked, read_traffic
from loadtest.verdict import Objective

# name, type, default, what it is
_OPTIONS: tuple[tuple[str, Any, Any, str], ...] = (
    ("requests", str, "runs/movielens/generator/requests.jsonl", "requests.jsonl of a run"),
    ("rate", float, 100.0, "requests a second, of all processes together"),
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
    ("objective-achieved", float, 0.95, "objective: answers a second, as a share of arrivals"),
    ("objective-lag-ms", float, 10.0, "p99 of this generator's own lateness; above: no verdict"),
    ("verdict-json", str, None, "write the verdict to this file too"),
    ("wait-ready", float, 10.0, "seconds to wait for the service before the load begins"),
)


def add_options(parser: ArgumentParser) -> None:
    """Declare all options on locust's parser (a group of its own would hide them on the page)."""
    parser.add_argument(
        "--shape", choices=KINDS, default="steady", env_var="LOCUST_SHAPE", help="rate over time"
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


def shape_of(given: Namespace) -> Shape:
    """The rate over time; raises ValueError for one that makes no sense."""
    return Shape(
        kind=given.shape,
        rate=given.rate,
        duration_s=given.duration,
        ramp_from=given.ramp_from,
        spike_factor=given.spike_factor,
        spike_s=given.spike_seconds,
        soak_swing=given.soak_swing,
        soak_period_s=given.soak_period,
    )


def objective_of(given: Namespace) -> Objective:
    """What the run must reach."""
    return Objective(
        p99_ms=given.objective_p99_ms,
        error_ratio=given.objective_errors,
        degraded_share=given.objective_degraded,
        achieved=given.objective_achieved,
        lag_ms=given.objective_lag_ms,
    )


def plan_of(given: Namespace, worker: int) -> Plan:
    """What process number `worker` does; raises ValueError or TrafficError."""
    if given.max_outstanding < 1 or given.timeout <= 0:
        raise ValueError("max-outstanding and timeout must be above 0")
    asked = Asked(
        candidates=given.candidates,
        num_lists=given.num_lists,
        list_size=given.list_size,
        budget_ms=given.budget_ms,
    )
    return Plan(
        shape=shape_of(given),
        traffic=read_traffic(Path(given.requests), given.zipf, asked),
        max_outstanding=given.max_outstanding,
        timeout_s=given.timeout,
        seed=given.load_seed * 1000 + worker,
    )
