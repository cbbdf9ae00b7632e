import dataclasses

import httpx
import numpy as np
import pytest
import redis

from service.features.bulk_load import load_items
from tests.service.asking import body_of, served_ids
from tests.service.serving import Serving

pytestmark = [pytest.mark.redis, pytest.mark.slow]


def test_an_item_table_loaded_into_redis_reaches_a_running_service_without_a_restart(
    artifact_folder, artifact, redis_of_my_own
):
    body = body_of(artifact, user_id="nobody", num_lists=1, explain=True)
    body["candidates"]["item_id"][5] = "brand-new"
    grown = dataclasses.replace(
        artifact.items,
        ids=[*artifact.items.ids, "brand-new"],
        rows=np.concatenate([artifact.items.rows, artifact.items.rows[-1:]]),
        numbers={k: np.append(v, v[-1]) for k, v in artifact.items.numbers.items()},
        display={k: [*v, v[-1]] for k, v in artifact.items.display.items()},
    )
    settings = {
        "redis_url": f"redis://127.0.0.1:{redis_of_my_own.port}",
        "items_refresh_s": 0.1,
        "request_budget_ms": 900,
    }
    with Serving(artifact_folder, **settings) as serving:
        before = httpx.post(f"{serving.ready().url}/rerank", json=body).json()
        unknown = serving.metric("rerank_unknown_items_total")
        with redis.Redis(port=redis_of_my_own.port) as client:
            load_items(
                client,
                grown,
                prefix="relist",
                schema_hash=artifact.manifest.schema_hash,
                progress=lambda _: None,
            )
        assert serving.wait_for("items_swapped")["items"] == len(grown.ids)
        after = httpx.post(f"{serving.url}/rerank", json=body).json()
        assert serving.metric("rerank_unknown_items_total") == unknown  # it is known now

    assert unknown == 1
    assert "brand-new" not in artifact.items.place
    assert len(served_ids(after)) == len(served_ids(before))
