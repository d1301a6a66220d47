"""Every overlay renders, fits the schemas and keeps the rules; and each rule sees the fault it is for."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devstack.k8s.generated import stale
from devstack.k8s.policy import PART_OF, violations
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


def behavior(objects: list[Object]) -> Object:
    found: Object = scaler(objects)["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    return found


def config(objects: list[Object]) -> Object:
    (found,) = [o for o in objects if o["kind"] == "ConfigMap"]
    return found


@pytest.mark.parametrize(("break_it", "sentence"), [b[1:] for b in BREAKS], ids=[b[0] for b in BREAKS])
def test_a_broken_copy_is_seen(
    production: list[Object], break_it: Callable[[list[Object]], Any], sentence: str
) -> None:
    break_it(production)
    found = violations(production)
    assert any(sentence in text for text in found), found


def test_driftlines_pods_are_known_by_their_label(production: list[Object]) -> None:
    for found in production:
        if found["kind"] == "Deployment":
            assert found["spec"]["template"]["metadata"]["labels"][PART_OF] == "driftline"
