"""Memory: what docker-compose.yml and k8s/base allow, and when the alert says that it is nearly used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from devstack.compose.reading import read_compose

ROOT = Path(__file__).parents[2]
SERVICES = sorted({path.parent.name for path in (ROOT / "services").glob("*/Dockerfile")} - {"cli"})
BYTES = {"Mi": 1 << 20, "Gi": 1 << 30, "M": 1 << 20, "G": 1 << 30}  # Compose's M and G are binary too


def size(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([A-Za-z]+)", text).groups()  # type: ignore[union-attr]
    return int(number) * BYTES[unit]


def thresholds() -> dict[str, int]:
    """The alert's threshold of each service, in bytes."""
    groups = yaml.safe_load((ROOT / "monitoring/prometheus/rules/alerts.yml").read_text())["groups"]
    (rule,) = [r for g in groups for r in g["rules"] if r.get("alert") == "DriftlineMemoryHigh"]
    found: dict[str, int] = {}
    for names, mebibytes in re.findall(r'job=~?"driftline-\(?([\w|]+)\)?"\} > (\d+) \* 1024', rule["expr"]):
        found |= dict.fromkeys(names.split("|"), int(mebibytes) << 20)
    return found


def test_every_service_has_a_threshold() -> None:
    assert sorted(thresholds()) == SERVICES


@pytest.mark.parametrize("service", SERVICES)
def test_the_alert_comes_before_the_limit(service: str) -> None:
    deployment = yaml.safe_load((ROOT / f"k8s/base/{service}/deployment.yaml").read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    compose = read_compose(ROOT / "docker-compose.yml")["services"][service]
    limits = {
        size(container["resources"]["limits"]["memory"]),
        size(compose["deploy"]["resources"]["limits"]["memory"]),
    }
    assert len(limits) == 1, "docker-compose.yml and k8s/base do not agree"
    assert 0.75 <= thresholds()[service] / limits.pop() <= 0.85
