"""Real servers for the tests of the feature room."""

import pytest

from tests.redis_cluster import redis_cluster
from tests.redis_fixture import redis_of_my_own, redis_server, shared_redis

__all__ = ["redis_of_my_own", "redis_server", "shared_redis"]


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory):
    """One cluster for the whole run. Not emptied; nodes are not to be stopped, slots go back."""
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster
