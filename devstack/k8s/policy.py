"""What must hold of every rendered object, for security and for staying available."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from devstack.k8s.rendering import Object, name_of

PART_OF: Final = "app.kubernetes.io/part-of"
NAME: Final = "app.kubernetes.io/name"
PARTITIONS: Final = 12
"""Partitions of the events topic as `driftline topics create` makes it."""

_PULLABLE: Final = re.compile(r"^[\w.\-/]+:[\w.\-]+$|@sha256:[0-9a-f]{64}$")
_SLEEP_AND_DRAIN_SECONDS: Final = 2 + 25

Rule = Callable[[list[Object]], Iterator[str]]


def violations(objects: list[Object]) -> list[str]:
    """Return a sentence for everything that breaks a rule; empty when all is well."""
    return [sentence for rule in RULES for sentence in rule(objects)]


def _of(objects: list[Object], *kinds: str) -> list[Object]:
    return [found for found in objects if found["kind"] in kinds]


def _pods(objects: list[Object]) -> Iterator[tuple[str, Object, Object]]:
    """Yield the name, the pod's metadata and its specification of everything that makes pods."""
    for found in _of(objects, "Deployment", "StatefulSet", "DaemonSet", "Job"):
        template = found["spec"]["template"]
        yield name_of(found), template.get("metadata", {}), template["spec"]


def _services(objects: list[Object]) -> list[Object]:
    """Return the Deployments of Driftline's own services."""
    return [
        found
        for found in _of(objects, "Deployment")
        if found["spec"]["template"]["metadata"]["labels"].get(PART_OF) == "driftline"
    ]


def restricted(objects: list[Object]) -> Iterator[str]:
    """The Pod Security Standard "restricted", for everybody; a read-only root for Driftline's own."""
    for name, metadata, pod in _pods(objects):
        context = pod.get("securityContext", {})
        if not context.get("runAsNonRoot") or not context.get("runAsUser"):
            yield f"{name} may run as root"
        if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{name} has no seccomp profile"
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.get(key):
                yield f"{name} shares the node's {key}"
        if any("hostPath" in volume for volume in pod.get("volumes", [])):
            yield f"{name} mounts a path of the node"
        ours = metadata.get("labels", {}).get(PART_OF) == "driftline"
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            yield from (f"{name} {text}" for text in _container(container, read_only=ours))


def _container(container: dict[str, Any], *, read_only: bool) -> Iterator[str]:
    context = container.get("securityContext", {})
    if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
        yield "may gain privileges"
    if context.get("capabilities", {}).get("drop") != ["ALL"]:
        yield "keeps capabilities"
    if read_only and not context.get("readOnlyRootFilesystem"):
        yield "can write to its root file system"
    if not _PULLABLE.search(container["image"]) or container["image"].endswith(":latest"):
        yield f"runs {container['image']}, which does not say which version"
    resources = container.get("resources", {})
    if not {"cpu", "memory"} <= set(resources.get("requests", {})) or "memory" not in resources.get(
        "limits", {}
    ):
        yield "does not say what it needs and may use"


def identities(objects: list[Object]) -> Iterator[str]:
    """No pod holds a token for the Kubernetes API."""
    accounts = {found["metadata"]["name"]: found for found in _of(objects, "ServiceAccount")}
    for name, metadata, pod in _pods(objects):
        if pod.get("automountServiceAccountToken") is not False:
            yield f"{name} holds a token for the Kubernetes API"
        if metadata.get("labels", {}).get(PART_OF) == "driftline" and not name.startswith("Job "):
            account = accounts.get(pod.get("serviceAccountName", ""))
            if account is None:
                yield f"{name} has no service account of its own"
            elif account.get("automountServiceAccountToken") is not False:
                yield f"{name}'s service account hands out tokens"


def probed(objects: list[Object]) -> Iterator[str]:
    """Each service is asked whether it started, lives and is ready, and liveness is not readiness."""
    for found in _services(objects):
        (container,) = found["spec"]["template"]["spec"]["containers"]
        paths = {
            probe: container.get(probe, {}).get("httpGet", {}).get("path")
            for probe in ("startupProbe", "livenessProbe", "readinessProbe")
        }
        for probe, path in paths.items():
            if path is None:
                yield f"{name_of(found)} has no {probe}"
        if paths["livenessProbe"] == "/readyz":
            yield f"{name_of(found)} is restarted while it is merely not ready"


def rolled(objects: list[Object]) -> Iterator[str]:
    """An update starts the new before it stops the old, and gives the old time to finish."""
    for found in _services(objects):
        strategy = found["spec"].get("strategy", {}).get("rollingUpdate", {})
        if strategy.get("maxUnavailable") != 0:
            yield f"{name_of(found)} stops processes before their successors are ready"
        pod = found["spec"]["template"]["spec"]
        if pod.get("terminationGracePeriodSeconds", 30) <= _SLEEP_AND_DRAIN_SECONDS:
            yield f"{name_of(found)} is killed before it has drained"
        if "preStop" not in pod["containers"][0].get("lifecycle", {}):
            yield f"{name_of(found)} has no preStop"
        if not pod.get("topologySpreadConstraints"):
            yield f"{name_of(found)} may have all its processes on one node"


def kept_available(objects: list[Object]) -> Iterator[str]:
    """A disruption takes one process of a service at a time, and never blocks a node's drain for ever."""
    budgets = {
        found["spec"]["selector"]["matchLabels"].get(NAME): found["spec"]
        for found in _of(objects, "PodDisruptionBudget")
    }
    for found in _services(objects):
        budget = budgets.get(found["spec"]["selector"]["matchLabels"][NAME])
        if budget is None:
            yield f"{name_of(found)} has no PodDisruptionBudget"
        elif budget.get("maxUnavailable") != 1:
            yield f"{name_of(found)}'s disruption budget is not one at a time"


def isolated(objects: list[Object]) -> Iterator[str]:
    """There is a policy that denies everything, so that the others are all that is allowed."""
    for found in _of(objects, "NetworkPolicy"):
        spec = found["spec"]
        everyone = spec["podSelector"].get("matchLabels") == {PART_OF: "driftline"}
        if (
            everyone
            and set(spec["policyTypes"]) == {"Ingress", "Egress"}
            and not {"ingress", "egress"} & set(spec)
        ):
            return
    yield "no NetworkPolicy denies what the others do not allow"


def scaled(objects: list[Object]) -> Iterator[str]:
    """One scaler per service at most, never beyond the partitions, never within a rebalance."""
    seen: set[str] = set()
    for found in _of(objects, "ScaledObject", "HorizontalPodAutoscaler"):
        spec, target = found["spec"], found["spec"]["scaleTargetRef"]["name"]
        if target in seen:
            yield f"{target} has two scalers"
        seen.add(target)
        most = spec.get("maxReplicaCount", spec.get("maxReplicas", 0))
        if most > PARTITIONS:
            yield f"{name_of(found)} goes to {most} processes, but there are {PARTITIONS} partitions"
        down = spec.get("behavior") or spec.get("advanced", {}).get("horizontalPodAutoscalerConfig", {}).get(
            "behavior", {}
        )
        if down.get("scaleDown", {}).get("stabilizationWindowSeconds", 0) < 120:
            yield f"{name_of(found)} scales down before a rebalance has shown its effect"
    for found in _services(objects):
        if found["metadata"]["name"] in seen and "replicas" in found["spec"]:
            yield f"{name_of(found)} has a fixed number of replicas beside its scaler"


def no_secrets(objects: list[Object]) -> Iterator[str]:
    """Nothing secret is written down: references only (a Redis URL without a password is none)."""
    for found in _of(objects, "ConfigMap"):
        for key in found.get("data", {}):
            if re.search(r"password|secret|token|redis_url", key, re.IGNORECASE) and not key.endswith(
                "_FILE"
            ):
                yield f"{name_of(found)} holds {key} in clear"
    for name, _, pod in _pods(objects):
        for container in pod["containers"]:
            for variable in container.get("env", []):
                if "value" in variable and re.search(r"PASSWORD|SECRET|TOKEN", variable["name"]):
                    yield f"{name} holds {variable['name']} in clear"


def hashed(objects: list[Object]) -> Iterator[str]:
    """A changed configuration changes its name, so that the pods that use it are replaced."""
    for found in _of(objects, "ConfigMap"):
        if not re.search(r"-[a-z0-9]{10}$", found["metadata"]["name"]):
            yield f"{name_of(found)} has no hash in its name"


RULES: Final[tuple[Rule, ...]] = (
    restricted,
    identities,
    probed,
    rolled,
    kept_available,
    isolated,
    scaled,
    no_secrets,
    hashed,
)
