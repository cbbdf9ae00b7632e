import dataclasses

import httpx
import numpy as np
import pytest
import redis

from service.features.bulk_load import write_items_to_redis
from tests.service.asking import body_of, served_ids
from tests.service.serving import Serving

pytestmark = [pytest.mark.redis, pytest.mark.slow]


def test_running_service_installs_new_item_table(artifact_folder, artifact, private_redis):
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
        "redis_url": f"redis://127.0.0.1:{private_redis.port}",
        "items_refresh_s": 0.1,
        "request_budget_ms": 900,
    }
    with Serving(artifact_folder, **settings) as serving:
        before = httpx.post(f"{serving.ready().url}/rerank", json=body).json()
        unknown = serving.metric("rerank_unknown_items_total")
        with redis.Redis(port=private_redis.port) as client:
            write_items_to_redis(
                client,
                grown,
                prefix="relist",
                schema_hash=artifact.manifest.schema_hash,
                on_progress=lambda _: None,
            )
        assert serving.wait_for("item_table_swapped")["items"] == len(grown.ids)
        after = httpx.post(f"{serving.url}/rerank", json=body).json()
        assert serving.metric("rerank_unknown_items_total") == unknown  # it is known now

    assert unknown == 1
    assert "brand-new" not in artifact.items.index_by_id
    assert len(served_ids(after)) == len(served_ids(before))
