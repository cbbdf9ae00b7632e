"""A running service in front of a real Redis Cluster, filled as an operator fills it."""

import httpx
import pytest

from model.contract.store.user_record import user_redis_key
from model.contract.store.user_stream import write_user_stream
from tests.local_redis_cluster import running_redis_cluster
from tests.relist_command import run_relist
from tests.service.asking import body_of, user_blob
from tests.service.serving import Serving

pytestmark = [pytest.mark.redis, pytest.mark.slow]

USERS = [f"user-{at}" for at in range(12)]


def test_rerank_dead_cluster_nodes_degrade_only_their_users(artifact_folder, artifact, tmp_path):
    blob = user_blob(artifact)
    write_user_stream(
        tmp_path / "users.bin", artifact.manifest.schema_hash, [(name, blob) for name in USERS]
    )
    with running_redis_cluster(tmp_path) as cluster:
        where = ["--redis-url", cluster.url, "--prefix", "relist"]
        assert run_relist("load", *[str(tmp_path), "--cluster", *where]) == 0
        settings = {
            "redis_url": cluster.url,
            "redis_cluster": "true",
            "request_budget_ms": 900,
            "feature_budget_ms": 300,
        }
        dead = cluster.ports[2]
        owners = {name: cluster.slot_owner_port(user_redis_key("relist", name)) for name in USERS}
        assert set(owners.values()) == set(cluster.ports)
        with Serving(artifact_folder, **settings) as serving:
            serving.ready()

            def degraded(name: str) -> list[str]:
                body = body_of(artifact, user_id=name)
                response = httpx.post(f"{serving.url}/rerank", json=body)
                assert response.status_code == 200
                return list(response.json()["degraded"])

            degraded(USERS[0])  # connects
            hits = serving.metric('rerank_store_seconds_count{outcome="hit"}')
            assert [degraded(name) for name in USERS] == [[]] * len(USERS)
            assert serving.metric('rerank_store_seconds_count{outcome="hit"}') == hits + len(USERS)

            cluster.stop_node(dead)
            degraded(next(name for name in USERS if owners[name] == dead))
            for name in USERS:
                assert degraded(name) == (["user_features"] if owners[name] == dead else [])

            cluster.stop()
            assert [degraded(name) for name in USERS] == [["user_features"]] * len(USERS)
