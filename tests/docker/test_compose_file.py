"""The compose file: hardened, pinned, and its ports and versions in one .env."""

import re
from pathlib import Path

import pytest
import yaml

from service.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
TEXT = (DOCKER / "compose.yml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
OWN_SERVICES = ("service", "trainer", "locust")
ENV = dict(
    line.split("=", 1)
    for line in (DOCKER / ".env").read_text().splitlines()
    if line and not line.startswith("#")
)


def test_compose_variables_match_env_file():
    assert set(re.findall(r"\$\{(\w+)", TEXT)) == set(ENV)


def test_compose_root_file_includes_docker_file():
    root = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert root == {"name": COMPOSE["name"], "include": ["docker/compose.yml"]}


def test_compose_third_party_images_are_pinned():
    tags = {name: ENV[name] for name in ENV if name.endswith("_IMAGE")}
    assert len(tags) == 4
    for name, image in tags.items():
        assert re.search(r":v?\d+\.\d+", image), name


@pytest.mark.parametrize("name", OWN_SERVICES)
def test_compose_own_containers_are_unprivileged(name):
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert "user" not in service  # the image's own, which is not root


@pytest.mark.parametrize("name", [name for name, one in SERVICES.items() if "ports" in one])
def test_compose_ports_bind_to_loopback_by_default(name):
    for port in SERVICES[name]["ports"]:
        assert re.fullmatch(r"\$\{BIND\}:\$\{\w+_PORT\}:\d+", port)
    assert ENV["BIND"] == "127.0.0.1"


def test_compose_redis_and_metrics_are_unpublished():
    assert "ports" not in SERVICES["redis"]
    assert [port.rpartition(":")[2] for port in SERVICES["service"]["ports"]] == ["8000"]


def test_compose_service_environment_builds_valid_settings(monkeypatch):
    given = SERVICES["service"]["environment"]
    filled = {k: re.sub(r"\$\{(\w+)\}", lambda m: ENV[m[1]], v) for k, v in given.items()}
    for name, value in filled.items():
        monkeypatch.setenv(name, value)
    settings = Settings.from_environment(filled)
    assert settings.workers > 1
    # Docker kills what has not ended in this time
    assert int(SERVICES["service"]["stop_grace_period"].rstrip("s")) > (
        settings.drain_s + settings.grace_s + 5.0
    )


def test_compose_prometheus_targets_match_workers():
    scraped = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text())
    (job,) = [one for one in scraped["scrape_configs"] if one["job_name"] == "relist"]
    (group,) = job["static_configs"]
    settings = SERVICES["service"]["environment"]
    first, workers = int(settings["RERANK_METRICS_PORT"]), int(settings["RERANK_WORKERS"])
    assert group["targets"] == [f"service:{first + index}" for index in range(workers)]


def test_compose_mounted_files_exist():
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (DOCKER / source).exists(), f"{name}: {source}"
