from collections.abc import Iterator
from pathlib import Path

import pytest

from service.inference.artifact_reader import Artifact, read_artifact
from service.inference.thread_executor import ThreadExecutor
from tests.redis_fixtures import private_redis, redis_server, shared_redis
from tests.tiny_artifact import tiny_artifact

__all__ = ["private_redis", "redis_server", "shared_redis"]


@pytest.fixture(scope="session")
def artifact_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported artifact of small, untrained nets over the toy log; not to be changed."""
    return tiny_artifact(tmp_path_factory.mktemp("artifact"))


@pytest.fixture(scope="session")
def artifact(artifact_folder: Path) -> Artifact:
    """The same, loaded."""
    return read_artifact(artifact_folder)


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The artifact of our nets, loaded, which has a refiner."""
    return read_artifact(tiny_artifact(tmp_path_factory.mktemp("pair"), "pair"))


@pytest.fixture(scope="session")
def narrow_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact of the same log without the fields `device` and `distance`."""
    return tiny_artifact(tmp_path_factory.mktemp("narrow"), "narrow")


@pytest.fixture
def executor() -> Iterator[ThreadExecutor]:
    """An executor whose thread ends with the test."""
    started = ThreadExecutor()
    yield started
    started.close()
