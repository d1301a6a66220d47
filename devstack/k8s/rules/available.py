"""How services are asked how they are, replaced, disrupted and scaled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from devstack.k8s.objects import MAIN, NAME, main_container, of, services, setting
from devstack.k8s.rendering import Object, name_of
from shared.topics import TopicNames, topic_specs

_PROBES: Final = {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
_REBALANCE_SECONDS: Final = 120
"""Until a rebalance is over and its effect is seen in the lag."""


def probed(objects: list[Object]) -> Iterator[str]:
    """Each service is asked whether it started, lives and is ready, and liveness is not readiness."""
    for found in services(objects):
        container = main_container(found)
        if container is None:
            yield f"{name_of(found)} has no container called {MAIN}"
            continue
        for probe, wanted in _PROBES.items():
            path = container.get(probe, {}).get("httpGet", {}).get("path")
            if path is None:
                yield f"{name_of(found)} has no {probe}"
            elif probe == "livenessProbe" and path == "/readyz":
                yield f"{name_of(found)} is restarted while it is merely not ready"
            elif path != wanted:
                yield f"{name_of(found)}'s {probe} asks {path} instead of {wanted}"


def rolled(objects: list[Object]) -> Iterator[str]:
    """An update starts the new before it stops the old, and gives the old time to finish."""
    for found in services(objects):
        strategy = found["spec"].get("strategy", {}).get("rollingUpdate", {})
        if strategy.get("maxUnavailable") != 0:
            yield f"{name_of(found)} stops processes before their successors are ready"
        if str(strategy.get("maxSurge", 1)).rstrip("%") == "0":
            yield f"{name_of(found)} has no room for a successor (maxSurge)"
        pod = found["spec"]["template"]["spec"]
        container = main_container(found) or {}
        sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds")
        if sleep is None:
            yield f"{name_of(found)} has no preStop that sleeps"
        drain = float(setting(objects, container, "drain_seconds"))
        if pod.get("terminationGracePeriodSeconds", 30) <= (sleep or 0) + drain:
            yield f"{name_of(found)} is killed before it has drained ({sleep or 0} s + {drain:g} s)"
        if not pod.get("topologySpreadConstraints"):
            yield f"{name_of(found)} may have all its processes on one node"


def kept_available(objects: list[Object]) -> Iterator[str]:
    """A disruption takes one process of a service at a time, and never blocks a node's drain for ever."""
    budgets = {
        found["spec"]["selector"]["matchLabels"].get(NAME): found["spec"]
        for found in of(objects, "PodDisruptionBudget")
    }
    for found in services(objects):
        budget = budgets.get(found["spec"]["selector"]["matchLabels"][NAME])
        if budget is None:
            yield f"{name_of(found)} has no PodDisruptionBudget"
        elif budget.get("maxUnavailable") != 1:
            yield f"{name_of(found)}'s disruption budget is not one at a time"


def scaled(objects: list[Object]) -> Iterator[str]:
    """One scaler per service at most, never beyond the partitions, never within a rebalance."""
    seen: set[str] = set()
    ours = {found["metadata"]["name"]: found for found in services(objects)}
    for found in of(objects, "ScaledObject", "HorizontalPodAutoscaler"):
        target = found["spec"]["scaleTargetRef"]["name"]
        if target in seen:
            yield f"{target} has two scalers"
        seen.add(target)
        if target not in ours:
            yield f"{name_of(found)} scales {target}, which is not there"
        elif "replicas" in ours[target]["spec"]:
            yield f"Deployment {target} has a fixed number of replicas beside its scaler"
        yield from (f"{name_of(found)} {text}" for text in _bounds(found["spec"], _partitions(objects)))
        for trigger in found["spec"].get("triggers", []):
            container = main_container(ours[target]) if target in ours else None
            yield from (
                f"{name_of(found)} {text}"
                for text in _watched(objects, container or {}, target, trigger["metadata"])
            )


def _partitions(objects: list[Object]) -> int:
    """Return the partitions of the events topic: as rendered, else as ``driftline topics create`` does."""
    (events,) = [spec for spec in topic_specs(TopicNames()) if spec.name == TopicNames().events]
    for found in of(objects, "KafkaTopic"):
        if found["spec"].get("topicName", found["metadata"]["name"]) == events.name:
            return int(found["spec"]["partitions"])
    return events.partitions


def _bounds(spec: Object, partitions: int) -> Iterator[str]:
    most: int = spec.get("maxReplicaCount") or spec.get("maxReplicas") or 100  # KEDA's own default
    least: int = (spec.get("minReplicaCount") or spec.get("minReplicas")) or 0
    if most > partitions:
        yield f"goes to {most} processes, but there are {partitions} partitions"
    if least < 2:
        yield "may leave one process, or none, when a node is lost"
    if spec.get("cooldownPeriod", 300) < _REBALANCE_SECONDS:
        yield "cools down before a rebalance has shown its effect"
    down = spec.get("behavior") or spec.get("advanced", {}).get("horizontalPodAutoscalerConfig", {}).get(
        "behavior", {}
    )
    if down.get("scaleDown", {}).get("stabilizationWindowSeconds", 0) < _REBALANCE_SECONDS:
        yield "scales down before a rebalance has shown its effect"


def _watched(objects: list[Object], container: Object, service: str, trigger: Object) -> Iterator[str]:
    """Yield where a lag trigger looks at another group, topic or broker than its service."""
    prefix = setting(objects, container, "group_prefix")
    if trigger["consumerGroup"] != f"{prefix}.{service}":
        yield f"watches the group {trigger['consumerGroup']} instead of {prefix}.{service}"
    topic = TopicNames(setting(objects, container, "topic_prefix")).events
    if trigger["topic"] != topic:
        yield f"watches the topic {trigger['topic']} instead of {topic}"
    brokers = str(setting(objects, container, "kafka_bootstrap_servers"))
    if trigger["bootstrapServers"].partition(".")[0] != brokers.partition(":")[0].partition(".")[0]:
        yield f"asks {trigger['bootstrapServers']} instead of {brokers}"
