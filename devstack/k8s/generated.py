"""The parts of ``k8s/`` that repeat what is declared elsewhere: topics, and Prometheus's rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from shared.topics import MOST_REPLICAS, TopicNames, topic_specs

CLUSTER = "driftline"
RULES = ("recording.yml", "alerts.yml")
PUBLIC_URL = "https://driftline.example.com"
"""Where the alerting service serves the runbooks; the production overlay puts its own host in its place."""
_NOTE = "# Made by `make k8s`; do not edit.\n"


def documents(root: Path) -> dict[Path, str]:
    """Return every generated file by its path, for the repository at ``root``."""
    components = root / "k8s" / "components"
    return {
        components / "strimzi" / "topics.yaml": _NOTE + _dump(topics()),
        components / "monitoring" / "prometheusrule.yaml": _NOTE + _dump(prometheus_rule(root)),
    }


def stale(root: Path) -> list[Path]:
    """Return the generated files that are missing or not current."""
    return [
        path
        for path, text in documents(root).items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def topics() -> list[dict[str, Any]]:
    """Return a Strimzi ``KafkaTopic`` for each of Driftline's topics."""
    return [
        {
            "apiVersion": "kafka.strimzi.io/v1",
            "kind": "KafkaTopic",
            "metadata": {"name": spec.name, "labels": {"strimzi.io/cluster": CLUSTER}},
            "spec": {
                "partitions": spec.partitions,
                "replicas": MOST_REPLICAS,
                "config": dict(spec.configs(MOST_REPLICAS)),
            },
        }
        for spec in topic_specs(TopicNames())
    ]


def prometheus_rule(root: Path) -> list[dict[str, Any]]:
    """Return the rules of ``monitoring/prometheus/rules`` as a ``PrometheusRule``."""
    groups: list[Any] = []
    for name in RULES:
        groups += yaml.safe_load((root / "monitoring/prometheus/rules" / name).read_text())["groups"]
    for rule in (rule for group in groups for rule in group["rules"] if "alert" in rule):
        texts = rule["annotations"]
        if "runbook" in texts:  # an anchor lets some rules share them
            texts["runbook_url"] = f"{PUBLIC_URL}/runbooks/{Path(texts.pop('runbook')).stem}"
    return [
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": "driftline"},
            "spec": {"groups": groups},
        }
    ]


def _dump(objects: list[dict[str, Any]]) -> str:
    text: str = yaml.safe_dump_all(objects, sort_keys=False, width=110)
    return text
