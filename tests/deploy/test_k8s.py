"""Every overlay renders, fits the schemas and keeps the rules; and each rule sees the fault it is for."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devstack.k8s.generated import stale
from devstack.k8s.objects import PART_OF
from devstack.k8s.policy import violations
from devstack.k8s.rendering import VERSIONS, schema_errors

ROOT = Path(__file__).parents[2]
Object = dict[str, Any]


@pytest.fixture
def production(rendered: dict[str, list[Object]]) -> list[Object]:
    return copy.deepcopy(rendered["production"])


def find(objects: list[Object], kind: str, name: str) -> Object:
    (found,) = [o for o in objects if o["kind"] == kind and o["metadata"]["name"] == name]
    return found


def pod(objects: list[Object], name: str = "inference") -> Object:
    spec: Object = find(objects, "Deployment", name)["spec"]["template"]["spec"]
    return spec


def test_the_overlays_are_there(rendered: dict[str, list[Object]]) -> None:
    assert set(rendered) >= {"development", "production"}


@pytest.mark.parametrize("name", ["development", "production", "production-hpa"])
@pytest.mark.parametrize("version", VERSIONS)
def test_an_overlay_fits_the_schemas(rendered: dict[str, list[Object]], name: str, version: str) -> None:
    assert list(schema_errors(rendered[name], version)) == []


@pytest.mark.parametrize("name", ["development", "production", "production-hpa"])
def test_an_overlay_keeps_the_rules(rendered: dict[str, list[Object]], name: str) -> None:
    assert violations(rendered[name]) == []


def test_what_is_generated_is_current() -> None:
    assert stale(ROOT) == [], "run make k8s"


def test_every_service_is_deployed(production: list[Object]) -> None:
    names = {path.parent.name for path in (ROOT / "services").glob("*/Dockerfile")} - {"cli"}
    deployed = {o["metadata"]["name"] for o in production if o["kind"] == "Deployment"}
    assert names <= deployed


def test_a_misspelt_key_is_seen(production: list[Object]) -> None:
    find(production, "ScaledObject", "inference")["spec"]["maxReplicasCount"] = 3
    pod(production)["terminationGracePeriodSecond"] = 3
    errors = "\n".join(schema_errors(production, VERSIONS[0]))
    assert "maxReplicasCount" in errors
    assert "terminationGracePeriodSecond" in errors


BREAKS: list[tuple[str, Callable[[list[Object]], Any], str]] = [
    ("root", lambda o: pod(o)["securityContext"].pop("runAsNonRoot"), "may run as root"),
    ("seccomp", lambda o: pod(o)["securityContext"].pop("seccompProfile"), "no seccomp"),
    ("host", lambda o: pod(o).update(hostNetwork=True), "hostNetwork"),
    (
        "path",
        lambda o: pod(o)["volumes"].append({"name": "h", "hostPath": {"path": "/"}}),
        "path of the node",
    ),
    ("escalation", lambda o: security(o).pop("allowPrivilegeEscalation"), "gain privileges"),
    ("capabilities", lambda o: security(o).update(capabilities={}), "keeps capabilities"),
    ("writable", lambda o: security(o).update(readOnlyRootFilesystem=False), "can write"),
    ("latest", lambda o: container(o).update(image="driftline/inference:latest"), "which version"),
    ("untagged", lambda o: container(o).update(image="driftline/inference"), "which version"),
    ("limits", lambda o: container(o)["resources"].pop("limits"), "needs and may use"),
    ("token", lambda o: pod(o).update(automountServiceAccountToken=True), "holds a token"),
    ("account", lambda o: pod(o).pop("serviceAccountName"), "no service account"),
    ("readiness", lambda o: container(o).pop("readinessProbe"), "no readinessProbe"),
    (
        "liveness",
        lambda o: container(o)["livenessProbe"]["httpGet"].update(path="/readyz"),
        "merely not ready",
    ),
    ("rolling", lambda o: strategy(o).update(maxUnavailable=1), "before their successors"),
    ("grace", lambda o: pod(o).update(terminationGracePeriodSeconds=20), "before it has drained"),
    ("prestop", lambda o: container(o).pop("lifecycle"), "no preStop"),
    ("spread", lambda o: pod(o).pop("topologySpreadConstraints"), "on one node"),
    ("budget", lambda o: o.remove(find(o, "PodDisruptionBudget", "drift")), "no PodDisruptionBudget"),
    ("blocked", lambda o: budget(o).update(maxUnavailable=0), "one at a time"),
    (
        "network",
        lambda o: o.remove(find(o, "NetworkPolicy", "driftline-deny-all")),
        "no NetworkPolicy denies",
    ),
    ("open", lambda o: deny(o).update(egress=[{}]), "no NetworkPolicy denies"),
    ("beyond", lambda o: scaler(o).update(maxReplicaCount=13), "12 partitions"),
    ("hasty", lambda o: behavior(o)["scaleDown"].update(stabilizationWindowSeconds=30), "before a rebalance"),
    ("fixed", lambda o: find(o, "Deployment", "inference")["spec"].update(replicas=2), "fixed number"),
    ("twice", lambda o: o.append(copy.deepcopy(find(o, "ScaledObject", "shadow"))), "two scalers"),
    ("clear", lambda o: config(o)["data"].update(DRIFTLINE_KAFKA_SASL_PASSWORD="x"), "in clear"),
    ("variable", lambda o: container(o)["env"].append({"name": "TOKEN", "value": "x"}), "in clear"),
    ("root-again", lambda o: security(o).update(runAsUser=0, runAsNonRoot=False), "may run as root"),
    ("unconfined", lambda o: security(o).update(seccompProfile={"type": "Unconfined"}), "no seccomp"),
    ("added", lambda o: security(o)["capabilities"].update(add=["SYS_ADMIN"]), "keeps capabilities"),
    (
        "init",
        lambda o: pod(o).update(initContainers=[container(o) | {"securityContext": {"privileged": True}}]),
        "gain privileges",
    ),
    (
        "wrong-probe",
        lambda o: container(o)["readinessProbe"]["httpGet"].update(path="/healthz"),
        "readinessProbe asks /healthz",
    ),
    ("nameless", lambda o: container(o).update(name="inference"), "no container called service"),
    ("surge", lambda o: strategy(o).update(maxSurge=0), "no room for a successor"),
    ("surge-percent", lambda o: strategy(o).update(maxSurge="0%"), "no room for a successor"),
    ("long-drain", lambda o: config(o)["data"].update(DRIFTLINE_DRAIN_SECONDS="60"), "before it has drained"),
    (
        "own-drain",
        lambda o: container(o)["env"].append({"name": "DRIFTLINE_DRAIN_SECONDS", "value": "60"}),
        "before it has drained",
    ),
    (
        "long-prestop",
        lambda o: container(o)["lifecycle"]["preStop"]["sleep"].update(seconds=39),
        "before it has drained",
    ),
    (
        "few-partitions",
        lambda o: find(o, "KafkaTopic", "events")["spec"].update(partitions=6),
        "there are 6 partitions",
    ),
    ("cooldown", lambda o: scaler(o).update(cooldownPeriod=0), "before a rebalance"),
    ("to-nothing", lambda o: scaler(o).update(minReplicaCount=0), "one process, or none"),
    ("group", lambda o: trigger(o).update(consumerGroup="nobody"), "watches the group nobody"),
    ("topic", lambda o: trigger(o).update(topic="labels"), "watches the topic labels"),
    ("broker", lambda o: trigger(o).update(bootstrapServers="elsewhere:9092"), "asks elsewhere:9092"),
    ("astray", lambda o: scaler(o)["scaleTargetRef"].update(name="nobody"), "which is not there"),
    ("all-in", lambda o: o.append(policy(ingress=[{}])), "lets everybody in"),
    ("all-out", lambda o: o.append(policy(egress=[{}])), "lets everything out"),
    (
        "everywhere",
        lambda o: o.append(policy(egress=[{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}])),
        "lets everything out",
    ),
    (
        "any-namespace",
        lambda o: o.append(policy(ingress=[{"from": [{"namespaceSelector": {}}]}])),
        "lets everybody in",
    ),
    ("secret", lambda o: o.append(secret(stringData={"password": "hunter2"})), "holds password in clear"),
    ("base64", lambda o: o.append(secret(data={"password": "aHVudGVyMg=="})), "holds password in clear"),
    (
        "url",
        lambda o: container(o)["env"].append({"name": "ANY", "value": "redis://:pw@r/0"}),
        "holds ANY in clear",
    ),
    (
        "redis",
        lambda o: container(o)["env"].append({"name": "DRIFTLINE_REDIS_URL", "value": "redis://:pw@r/0"}),
        "holds DRIFTLINE_REDIS_URL in clear",
    ),
    ("in-a-file", lambda o: config(o)["data"].update(x="see https://u:p@host/"), "holds a password in x"),
    ("cron", lambda o: o.append(cron_job()), "CronJob nightly may gain privileges"),
    ("cron-latest", lambda o: o.append(cron_job()), "x:latest"),
    ("bare", lambda o: o.append(bare_pod()), "Pod nightly may gain privileges"),
    ("links", lambda o: pod(o).pop("enableServiceLinks"), "told of every Service"),
    ("unhashed", lambda o: config(o)["metadata"].update(name="driftline"), "no hash"),
]


def container(objects: list[Object]) -> Object:
    found: Object = pod(objects)["containers"][0]
    return found


def security(objects: list[Object]) -> Object:
    found: Object = container(objects)["securityContext"]
    return found


def strategy(objects: list[Object]) -> Object:
    found: Object = find(objects, "Deployment", "inference")["spec"]["strategy"]["rollingUpdate"]
    return found


def budget(objects: list[Object]) -> Object:
    found: Object = find(objects, "PodDisruptionBudget", "drift")["spec"]
    return found


def deny(objects: list[Object]) -> Object:
    found: Object = find(objects, "NetworkPolicy", "driftline-deny-all")["spec"]
    return found


def scaler(objects: list[Object]) -> Object:
    found: Object = find(objects, "ScaledObject", "inference")["spec"]
    return found


def trigger(objects: list[Object]) -> Object:
    found: Object = scaler(objects)["triggers"][0]["metadata"]
    return found


def policy(**allowed: Any) -> Object:
    spec = {"podSelector": {}, "policyTypes": [key.title() for key in allowed]} | allowed
    return {"kind": "NetworkPolicy", "metadata": {"name": "another"}, "spec": spec}


def secret(**values: Any) -> Object:
    return {"kind": "Secret", "metadata": {"name": "s"}} | values


def cron_job() -> Object:
    job = {"name": "x", "image": "x:latest", "securityContext": {"privileged": True}}
    template = {"metadata": {"name": "nightly"}, "spec": {"containers": [job]}}
    spec = {"jobTemplate": {"spec": {"template": template}}}
    return {"kind": "CronJob", "metadata": {"name": "nightly"}, "spec": spec}


def bare_pod() -> Object:
    template: Object = cron_job()["spec"]["jobTemplate"]["spec"]["template"]
    return {"kind": "Pod"} | template


def behavior(objects: list[Object]) -> Object:
    found: Object = scaler(objects)["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    return found


def config(objects: list[Object]) -> Object:
    (found,) = [
        o
        for o in objects
        if o["kind"] == "ConfigMap" and not o["metadata"]["name"].startswith("driftline-alerts")
    ]
    return found


@pytest.mark.parametrize(("break_it", "sentence"), [b[1:] for b in BREAKS], ids=[b[0] for b in BREAKS])
def test_a_broken_copy_is_seen(
    production: list[Object], break_it: Callable[[list[Object]], Any], sentence: str
) -> None:
    break_it(production)
    found = violations(production)
    assert any(sentence in text for text in found), found


def test_kafka_lets_in_whom_it_must_and_nobody_else(production: list[Object]) -> None:
    """The broker asks nobody who they are: who reaches it is all there is."""
    for listener in find(production, "Kafka", "driftline")["spec"]["kafka"]["listeners"]:
        peers = listener["networkPolicyPeers"]
        assert {"podSelector": {"matchLabels": {PART_OF: "driftline"}}} in peers
        assert all(any(selector["matchLabels"] for selector in peer.values()) for peer in peers)


def test_kafka_is_none_that_forgets_transactions(production: list[Object]) -> None:
    assert find(production, "Kafka", "driftline")["spec"]["kafka"]["version"] not in ("4.3.0", "4.3.1")


def test_applying_again_changes_no_job(rendered: dict[str, list[Object]]) -> None:
    """A Job's template can never be changed; one that holds a hashed name would be, by any new setting."""
    assert not [o for objects in rendered.values() for o in objects if o["kind"] == "Job"]


def test_whoever_mounts_the_bundles_of_development_is_on_one_node(
    rendered: dict[str, list[Object]],
) -> None:
    objects = rendered["development"]
    assert find(objects, "PersistentVolumeClaim", "bundles")["spec"]["accessModes"] == ["ReadWriteOnce"]
    mounting = [
        o["spec"]["template"]
        for o in objects
        if o["kind"] in ("Deployment", "StatefulSet")
        and any(
            v.get("persistentVolumeClaim", {}).get("claimName") == "bundles"
            for v in o["spec"]["template"]["spec"].get("volumes", [])
        )
    ]
    assert len(mounting) == 5
    for template in mounting:
        (term,) = template["spec"]["affinity"]["podAffinity"][
            "requiredDuringSchedulingIgnoredDuringExecution"
        ]
        assert term["topologyKey"] == "kubernetes.io/hostname"
        assert term["labelSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()


def test_one_pod_of_development_may_write_bundles(rendered: dict[str, list[Object]]) -> None:
    stateful = find(rendered["development"], "StatefulSet", "cli")["spec"]["template"]["spec"]
    (mount,) = [m for m in stateful["containers"][0]["volumeMounts"] if m["name"] == "bundles"]
    assert not mount.get("readOnly")
    (first,) = stateful["initContainers"]
    assert first["args"] == ["topics", "create"]


def test_a_sidecar_that_is_confined_breaks_no_rule(production: list[Object]) -> None:
    sidecar = copy.deepcopy(container(production)) | {"name": "proxy", "image": "proxy:1.2"}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        sidecar.pop(probe)
    pod(production)["containers"].insert(0, sidecar)
    assert violations(production) == []


def test_driftlines_pods_are_known_by_their_label(production: list[Object]) -> None:
    for found in production:
        if found["kind"] == "Deployment":
            assert found["spec"]["template"]["metadata"]["labels"][PART_OF] == "driftline"
