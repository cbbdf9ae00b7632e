"""The Helm chart, rendered by Helm's own library and held against Kubernetes' schemas."""

import copy
from pathlib import Path

import helm_python as helm
import kubernetes_validate
import pytest
import yaml

from service.settings import Settings

CHART = Path(__file__).parents[2] / "docker" / "helm" / "relist"
IMAGE = {"artifact": {"image": {"repository": "registry.example/artifact", "tag": "7"}}}
VOLUME = {"artifact": {"volume": {"claimName": "artifacts", "subPath": "current"}}}
FETCH = {
    "artifact": {
        "fetch": {
            "image": "registry.example/fetch:1",
            "command": ["fetch"],
            "args": ["bucket", "/artifact"],
            "secretName": "bucket",
        }
    }
}
# Every switch the other way round, several workers, every list filled.
OTHERWISE = VOLUME | {
    "workers": 3,
    "autoscaling": {"enabled": False},
    "disruptionBudget": {"maxUnavailable": "20%"},
    "settings": {"drain_s": 2.5, "grace_s": 20, "max_body_bytes": 1048576, "log_level": "warning"},
    "secrets": {
        "redisUrl": {"name": "store", "key": "address"},
        "apiTokens": {"name": "callers", "key": "tokens"},
        "adminToken": {"name": "admin", "key": "token"},
    },
    "imagePullSecrets": [{"name": "registry"}],
    "image": {"digest": "sha256:" + "ab" * 32},
    "networkPolicy": {
        "callers": [{"podSelector": {"matchLabels": {"app": "feed"}}}],
        "redis": {"peers": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "ports": [6379, 6380]},
        "moreEgress": [{"ports": [{"port": 4318}]}],
    },
    "serviceMonitor": {"labels": {"release": "prometheus"}},
    "podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None},
    "podAnnotations": {"note": "x"},
    "nodeSelector": {"pool": "serving"},
    "tolerations": [{"key": "serving", "operator": "Exists"}],
    "priorityClassName": "high",
    "serviceAccount": {"annotations": {"role": "x"}},
}
EVERY = {"image": IMAGE, "volume": VOLUME, "fetch": FETCH, "otherwise": OTHERWISE}
# the oldest that Chart.yaml allows, and the newest whose schemas there are
VERSIONS = ("1.27", kubernetes_validate.latest_version())


def rendered(values):
    """Every object of the chart by kind; two of a kind by name."""
    with helm.Chart.load(CHART) as chart:
        chart.validate_schema(values)
        texts = chart.render(values, name="shop", namespace="feeds")
    objects = [
        one
        for name, text in texts.items()
        if name.endswith(".yaml")
        for one in yaml.safe_load_all(text)
        if one is not None
    ]
    return {(one["kind"], one["metadata"]["name"]): one for one in objects}


def deployment(values):
    return rendered(values)["Deployment", "shop-relist"]["spec"]


def pod(values):
    return deployment(values)["template"]["spec"]


def environment(values):
    return {one["name"]: one for one in pod(values)["containers"][0]["env"]}


@pytest.mark.parametrize("values", EVERY.values(), ids=EVERY)
def test_chart_passes_helm_lint(values):
    report = helm.lint(CHART, values, strict=True)
    informative = 1
    assert report["errors"] == []
    assert [m for m in report["messages"] if m["severity"] > informative] == []


@pytest.mark.parametrize("values", EVERY.values(), ids=EVERY)
@pytest.mark.parametrize("version", VERSIONS)
def test_chart_objects_match_kubernetes_schema(values, version):
    objects = rendered(values)
    checked = [one for one in objects.values() if one["kind"] != "ServiceMonitor"]
    for one in checked:
        kubernetes_validate.validate(one, version, strict=True)
    assert len(checked) == len(objects) - 1 >= 6


def test_pod_security_context_null_ids_are_omitted():
    ids = {"runAsUser": None, "runAsGroup": None, "fsGroup": None}
    context = pod(IMAGE | {"podSecurityContext": ids})["securityContext"]
    assert context == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_pod_security_context_other_ids_are_used():
    context = pod(IMAGE | {"podSecurityContext": {"runAsUser": 7, "fsGroup": 8}})["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (7, 10001, 8)


@pytest.mark.parametrize("change", [{"runAsUser": 0}, {"runAsNonRoot": False}])
def test_pod_security_context_root_is_refused(change):
    with pytest.raises(helm.HelmError):
        rendered(IMAGE | {"podSecurityContext": change})


def test_kubernetes_schema_rejects_unknown_field():
    broken = copy.deepcopy(rendered(IMAGE)["Deployment", "shop-relist"])
    broken["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("values", EVERY.values(), ids=EVERY)
def test_chart_environment_builds_valid_settings(values, monkeypatch):
    given = environment(values)
    secrets = {
        "RERANK_REDIS_URL": "rediss://store:6379",
        "RERANK_API_TOKENS": '["0123456789abcdef"]',
        "RERANK_ADMIN_TOKEN": "0123456789abcdef",
    }
    filled = {name: one.get("value") or secrets[name] for name, one in given.items()}
    for name, value in filled.items():
        monkeypatch.setenv(name, value)
    settings = Settings.from_environment(filled)
    assert settings.workers == values.get("workers", 1)
    assert settings.max_body_bytes == 1_048_576  # not 1.048576e+06
    assert settings.log_level == values.get("settings", {}).get("log_level", "info")


@pytest.mark.parametrize("values", EVERY.values(), ids=EVERY)
def test_chart_contains_secret_references_only(values):
    for name, one in environment(values).items():
        if any(word in name for word in ("URL", "TOKEN")):
            assert set(one) == {"name", "valueFrom"}
            assert set(one["valueFrom"]) == {"secretKeyRef"}


def test_chart_unnamed_optional_secret_is_omitted():
    assert "RERANK_ADMIN_TOKEN" not in environment(IMAGE)
    assert "RERANK_ADMIN_PORT" not in environment(IMAGE)
    assert environment(OTHERWISE)["RERANK_ADMIN_TOKEN"]["valueFrom"]["secretKeyRef"] == {
        "name": "admin",
        "key": "token",
    }


@pytest.mark.parametrize("values", EVERY.values(), ids=EVERY)
def test_chart_containers_are_unprivileged_and_read_only(values):
    spec = pod(values)
    assert spec["securityContext"]["runAsNonRoot"] is True
    if "podSecurityContext" not in values:
        assert spec["securityContext"]["runAsUser"] == 10001  # that of the image
    assert spec["automountServiceAccountToken"] is False
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]


def test_chart_disables_service_links():
    assert pod(IMAGE)["enableServiceLinks"] is False


@pytest.mark.parametrize("values", EVERY.values(), ids=EVERY)
def test_chart_termination_grace_exceeds_shutdown_time(values):
    given = environment(values)
    late_s = 5.0  # service/server/supervisor.py allows this on top before it kills a worker
    takes = float(given["RERANK_DRAIN_S"]["value"]) + float(given["RERANK_GRACE_S"]["value"])
    assert pod(values)["terminationGracePeriodSeconds"] > takes + late_s


def test_chart_readiness_probe_fails_within_drain():
    probe = pod(IMAGE)["containers"][0]["readinessProbe"]
    seen_s = probe["periodSeconds"] * probe["failureThreshold"]
    assert seen_s < float(environment(IMAGE)["RERANK_DRAIN_S"]["value"])


def test_chart_artifact_image_is_copied_by_init_container():
    (init,) = pod(IMAGE)["initContainers"]
    mounts = {one["name"]: one["mountPath"] for one in init["volumeMounts"]}
    source, target = init["command"][-2:]
    assert target.rstrip("/") == mounts["artifact"]
    assert not source.startswith(mounts["artifact"])
    assert init["image"] == "registry.example/artifact:7"


def test_chart_fetch_container_mounts_secret_and_artifact():
    (init,) = pod(FETCH)["initContainers"]
    assert init["envFrom"] == [{"secretRef": {"name": "bucket"}}]
    assert {"name": "artifact", "mountPath": "/artifact"} in init["volumeMounts"]


def test_chart_artifact_volume_is_read_only():
    spec = pod(VOLUME)
    assert "initContainers" not in spec
    (volume,) = [one for one in spec["volumes"] if one["name"] == "artifact"]
    assert volume["persistentVolumeClaim"] == {"claimName": "artifacts", "readOnly": True}
    (mount,) = [m for m in spec["containers"][0]["volumeMounts"] if m["name"] == "artifact"]
    assert mount == {
        "name": "artifact",
        "mountPath": "/artifact",
        "readOnly": True,
        "subPath": "current",
    }


@pytest.mark.parametrize("values", [{}, {"artifact": IMAGE["artifact"] | VOLUME["artifact"]}])
def test_chart_requires_exactly_one_artifact_source(values):
    with pytest.raises(helm.HelmError, match="exactly one of"):
        rendered(values)


@pytest.mark.parametrize(
    "values",
    [
        {"replica": 2},
        {"settings": {"redis_url": "redis://:password@store"}},
        {"image": {"tag": "latest"}},
        {"secrets": {"redisUrl": {"name": "", "key": "url"}}},
        {"workers": 0},
    ],
    ids=["misspelt", "a secret as a setting", "floating tag", "no Redis", "no worker"],
)
def test_chart_invalid_values_are_rejected(values):
    with pytest.raises(helm.HelmError):
        rendered(IMAGE | values)


def test_chart_autoscaler_uses_cpu_and_in_flight():
    scaler = rendered(IMAGE)["HorizontalPodAutoscaler", "shop-relist"]["spec"]
    cpu, in_flight = scaler["metrics"]
    assert cpu["resource"]["target"] == {"type": "Utilization", "averageUtilization": 60}
    assert in_flight["pods"]["metric"]["name"] == "rerank_in_flight_requests"
    assert scaler["scaleTargetRef"]["name"] == "shop-relist"
    assert "replicas" not in deployment(IMAGE)  # else every upgrade would undo the scaling
    assert deployment(OTHERWISE)["replicas"] == 3
    assert ("HorizontalPodAutoscaler", "shop-relist") not in rendered(OTHERWISE)


def test_chart_selectors_match_pod_labels():
    objects = rendered(OTHERWISE)
    labels = objects["Deployment", "shop-relist"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        objects["Deployment", "shop-relist"]["spec"]["selector"]["matchLabels"],
        objects["Service", "shop-relist"]["spec"]["selector"],
        objects["Service", "shop-relist-metrics"]["spec"]["selector"],
        objects["PodDisruptionBudget", "shop-relist"]["spec"]["selector"]["matchLabels"],
        objects["NetworkPolicy", "shop-relist"]["spec"]["podSelector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert len(selector) == 2


def test_chart_scrapes_every_worker():
    objects = rendered(OTHERWISE)
    monitor = objects["ServiceMonitor", "shop-relist"]["spec"]
    metrics = objects["Service", "shop-relist-metrics"]
    assert monitor["selector"]["matchLabels"].items() <= metrics["metadata"]["labels"].items()
    assert [one["port"] for one in monitor["endpoints"]] == ["metrics-0", "metrics-1", "metrics-2"]
    assert [one["port"] for one in metrics["spec"]["ports"]] == [9100, 9101, 9102]
    policy = objects["NetworkPolicy", "shop-relist"]["spec"]
    callers, scrapers = policy["ingress"]
    assert [one["port"] for one in scrapers["ports"]] == [9100, 9101, 9102]
    assert [one["port"] for one in callers["ports"]] == [8000]
    # the job's name is this label's value: alerts and dashboards ask for job="relist"
    assert metrics["metadata"]["labels"][monitor["jobLabel"]] == "relist"


def test_chart_egress_allows_dns_redis_and_listed():
    egress = rendered(OTHERWISE)["NetworkPolicy", "shop-relist"]["spec"]["egress"]
    assert [[p["port"] for p in rule["ports"]] for rule in egress] == [
        [53, 53],
        [6379, 6380],
        [4318],
    ]
    assert egress[1]["to"] == [{"ipBlock": {"cidr": "192.0.2.0/24"}}]


def test_chart_image_digest_overrides_tag():
    assert pod(OTHERWISE)["containers"][0]["image"] == "relist-service@sha256:" + "ab" * 32
    assert pod(IMAGE)["containers"][0]["image"] == "relist-service:0.1.0"


def test_chart_documented_command_renders():
    words = (
        (CHART.parents[2] / "docs" / "how-to" / "kubernetes.md")
        .read_text()
        .replace("\\\n", " ")
        .split()
    )
    given = [words[at + 1] for at, word in enumerate(words) if word == "--set"]
    assert len(given) == 3
    values = helm.parse_set_string(",".join(given))
    spec = pod(values)
    assert spec["initContainers"][0]["image"] == "registry.example/my-artifact:2026-11-21"
    assert spec["containers"][0]["image"].startswith("registry.example/relist-service:")
