"""Every metric that is declared moves when what it counts happens to a real service."""

import asyncio
import json
import random
import shutil
from typing import get_args

import httpx
import pytest
import redis
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from model.contract.artifact.manifest import MANIFEST_FILE
from model.contract.store.user_record import user_redis_key
from service.features.bulk_load import write_items_to_redis
from service.telemetry import service_metrics
from service.telemetry.deferred_histogram import DeferredHistogram
from tests.docker.traffic_simulator import TrafficSimulator
from tests.service.asking import USER, ask, body_of, model_of, reranker_of, user_blob
from tests.service.serving import Serving

ADMIN = "admin-token-of-tests"
STRANGERS = [f"u{n}" for n in range(40)]
Metric = MetricWrapperBase | DeferredHistogram
DECLARED = [m for m in vars(service_metrics).values() if isinstance(m, Metric)]
# The faults of a generator that no real one has; their own test is below.
NEVER_SEEN = {"rerank_infeasible_lists_total"}


def names(metric: Metric) -> str:
    """Name of the series that says how much was counted."""
    [family] = metric.collect()
    return {"counter": f"{family.name}_total", "histogram": f"{family.name}_count"}.get(
        family.type, family.name
    )


def series(serving: Serving) -> dict[str, dict[tuple[str, ...], float]]:
    """All series that a service shows: name -> label values -> value."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    text = httpx.get(f"{serving.url}/metrics").text
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


@pytest.fixture(scope="module")
def told(artifact_folder, artifact, tmp_path_factory, shared_redis):
    """The series of a service to which everything has happened, and its callers."""
    root = tmp_path_factory.mktemp("artifacts")
    for name in ("current", "canary"):
        shutil.copytree(artifact_folder, root / name, symlinks=True)

    def refill() -> None:
        with redis.Redis(port=shared_redis.port) as client:
            for name in (USER, *STRANGERS):
                client.set(user_redis_key("relist", name), user_blob(artifact))
            write_items_to_redis(
                client,
                artifact.items,
                prefix="relist",
                schema_hash=artifact.manifest.schema_hash,
                on_progress=lambda _: None,
            )

    refill()
    settings = {
        "redis_url": f"redis://127.0.0.1:{shared_redis.port}",
        "feature_budget_ms": 40,
        "items_refresh_s": 0.2,
        "max_inflight": 3,  # so that two wait for the graphs together and share a run
        "max_waiting": 1,
        "canary_dir": root / "canary",
        "canary_share": 0.5,
        "canary_shadow": True,
        "admin_token": ADMIN,
    }
    bodies = [body_of(artifact, user_id=name) for name in STRANGERS]
    with Serving(root / "current", **settings) as serving:
        callers = TrafficSimulator(
            url=serving.ready().url,
            bodies=bodies,
            cap_field="brand",
            store=shared_redis,
            refill=refill,
            rng=random.Random(1),
        )
        asyncio.run(happen(callers, root))
        yield series(serving), callers


async def happen(callers: TrafficSimulator, root) -> None:
    async def order(action: str) -> int:
        head = {"authorization": f"Bearer {ADMIN}"}
        address = f"{callers.url}/admin/artifact"
        return (await client.post(address, json={"action": action}, headers=head)).status_code

    async with httpx.AsyncClient(timeout=20.0) as client:
        await callers.run_all(client, crowd=12)
        assert [await order("reload"), await order("roll_back")] == [200, 200]
        manifest = root / "current" / MANIFEST_FILE
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"schema_hash": "0"}))
        assert await order("reload") == 409


pytestmark = pytest.mark.redis


@pytest.mark.parametrize("metric", DECLARED, ids=names)
def test_service_metrics_all_move_under_traffic(told, metric):
    if names(metric) in NEVER_SEEN:
        assert set(told[0][names(metric)].values()) == {0.0}
    elif names(metric) in ("rerank_in_flight_requests", "rerank_waiting_requests"):
        assert told[0][names(metric)] == {(): 0.0}  # all callers are gone
    else:
        assert sum(told[0][names(metric)].values()) > 0


@pytest.mark.parametrize("outcome", get_args(service_metrics.RequestOutcome))
def test_request_seconds_counts_each_outcome(told, outcome):
    seen, callers = told
    count = sum(
        value for labels, value in seen["rerank_request_seconds_count"].items() if outcome in labels
    )
    expected = {"failed": 0, "rejected": callers.statuses[429] + callers.statuses[422] + 1}
    assert count == expected.get(outcome, count)
    assert count > 0 or outcome == "failed"


def test_request_seconds_counts_each_request_once(told):
    seen, callers = told
    assert sum(seen["rerank_request_seconds_count"].values()) == callers.statuses.total()


@pytest.mark.parametrize("role", get_args(service_metrics.ArtifactRole))
@pytest.mark.parametrize(
    "name",
    [
        "rerank_request_seconds_count",
        "rerank_stage_seconds_count",
        "rerank_graph_seconds_count",
        "rerank_lists_evaluated_count",
        "rerank_reward_count",
        "rerank_reward_uplift_count",
        "rerank_list_p_click_count",
        "rerank_changed_slots_count",
        "rerank_degraded_total",
        "rerank_input_order_total",
        "rerank_unseen_list_size_total",
        "rerank_artifact_reloads_total",
        "rerank_artifact_info",
    ],
)
def test_service_metrics_separate_current_and_canary(told, name, role):
    assert sum(v for labels, v in told[0][name].items() if labels[0] == role) > 0


def test_request_seconds_rejected_has_no_artifact(told):
    seen = told[0]["rerank_request_seconds_count"]
    assert seen["none", "rejected"] > 0
    assert seen["none", "ok"] == seen["none", "degraded"] == 0


@pytest.mark.parametrize("outcome", ["hit", "miss", "timeout", "down"])
def test_store_seconds_counts_each_outcome(told, outcome):
    assert told[0]["rerank_store_seconds_count"][(outcome,)] > 0


@pytest.mark.parametrize("code", ["malformed_json", "overloaded", "limit_exceeded", "not_found"])
def test_rejected_total_counts_each_error_code(told, code):
    assert told[0]["rerank_rejected_total"][(code,)] > 0


@pytest.mark.parametrize(
    "name",
    [
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "process_start_time_seconds",
        "process_open_fds",
        "process_max_fds",
        "python_gc_collections_total",
        "python_gc_objects_collected_total",
    ],
)
def test_metrics_endpoint_exposes_process_metrics(told, name):
    assert all(value >= 0 for value in told[0][name].values())


def test_graph_seconds_excludes_verification_and_warmup(told):
    """Verification runs every golden batch and warm-up some dozens: none of them is a request's."""
    seen = told[0]
    judged = sum(
        value
        for (_, graph), value in seen["rerank_graph_seconds_count"].items()
        if graph == "evaluator"
    )
    # one run a search, one more for each explanation; answers out of time had none
    searches = sum(seen["rerank_lists_evaluated_count"].values())
    assert searches * 0.25 < judged < searches * 3


class Lawless:
    """Graphs that put the first candidate into every slot of every list."""

    def __init__(self, real):
        self.real, self.manifest = real, real.manifest

    def bind(self):
        run = self.real.bind()
        generate = run.generate
        run.generate = lambda arrays, *, rules: generate(arrays, rules=rules) * 0
        return run


async def test_infeasible_lists_are_counted_and_not_served(artifact, executor):
    def counted() -> float | None:
        labels = {"artifact": "canary"}
        return REGISTRY.get_sample_value("rerank_infeasible_lists_total", labels)

    model = model_of(artifact, graphs=Lawless(artifact.graphs), role="canary")
    before = counted()

    answer = await ask(reranker_of(model, executor), body_of(artifact, num_lists=3))

    assert counted() == (before or 0) + 3
    assert answer["lists_evaluated"] == 1  # the input list alone
