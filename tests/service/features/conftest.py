"""Real servers for the tests of the feature room."""

from tests.redis_fixture import redis_of_my_own, redis_server, shared_redis

__all__ = ["redis_of_my_own", "redis_server", "shared_redis"]
