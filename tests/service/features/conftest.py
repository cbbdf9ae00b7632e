"""Real servers for the tests of features."""

import pytest

from tests.local_redis_cluster import running_redis_cluster
from tests.redis_fixtures import private_redis, redis_server, shared_redis

__all__ = ["private_redis", "redis_server", "shared_redis"]


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory):
    """One cluster for the whole run, not emptied; its nodes run on, moved slots go back."""
    with running_redis_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster
