"""What the rendered Deployments tell their services: accepted, mounted, and in their images."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from fsspec.registry import known_implementations

from services.alerting.page.runbooks import has_runbook
from shared.alerting.rules_file import load_rules
from tests.deploy.settings import read_settings, settings_class

ROOT = Path(__file__).parents[2]
Object = dict[str, Any]
OVERLAYS = ("development", "production", "production-hpa")
SERVICES = sorted({path.parent.name for path in (ROOT / "services").glob("*/Dockerfile")} - {"cli"})
OF_SECRETS = {"DRIFTLINE_REDIS_URL": "redis://redis.example:6379/0"}


def container(objects: list[Object], service: str) -> Object:
    (found,) = [o for o in objects if o["kind"] == "Deployment" and o["metadata"]["name"] == service]
    (named,) = [c for c in found["spec"]["template"]["spec"]["containers"] if c["name"] == "service"]
    return named


def environment(objects: list[Object], service: str) -> dict[str, str]:
    """The environment of a service's container, with a likely value for what a Secret holds."""
    maps = {o["metadata"]["name"]: o["data"] for o in objects if o["kind"] == "ConfigMap"}
    given: dict[str, str] = {}
    named = container(objects, service)
    for source in named["envFrom"]:
        if "configMapRef" in source:
            given |= maps[source["configMapRef"]["name"]]
    for variable in named.get("env", []):
        given[variable["name"]] = variable.get("value") or OF_SECRETS[variable["name"]]
    return given


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("service", SERVICES)
def test_settings_exist_and_are_accepted(
    rendered: dict[str, list[Object]], overlay: str, service: str
) -> None:
    given = environment(rendered[overlay], service)
    assert read_settings(service, given).drain_seconds == 25
    with pytest.raises(AssertionError, match="no setting kafka_bootstrap_server"):
        read_settings(service, given | {"DRIFTLINE_KAFKA_BOOTSTRAP_SERVER": "kafka:9092"})


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("service", SERVICES)
def test_what_a_setting_points_at_is_mounted(
    rendered: dict[str, list[Object]], overlay: str, service: str
) -> None:
    mounts = {mount["mountPath"] for mount in container(rendered[overlay], service)["volumeMounts"]}
    used = set(settings_class(service).model_fields)
    if service == "alerting":
        used -= {"bundle_store"}  # it opens none
    for path in paths(environment(rendered[overlay], service), used):
        assert {str(path), *map(str, path.parents)} & mounts, f"{path} is not in a volume"


def paths(given: dict[str, str], used: set[str]) -> Iterator[Path]:
    for name, value in given.items():
        if name.removeprefix("DRIFTLINE_").lower() in used and value.startswith("/"):
            yield Path(value)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_alerts_reach_somebody_in_production(
    rendered: dict[str, list[Object]], overlay: str, tmp_path: Path
) -> None:
    objects = rendered[overlay]
    files = mounted_files(objects, "alerting")
    path = environment(objects, "alerting")["DRIFTLINE_ALERT_RULES"]
    (tmp_path / "rules.yml").write_text(files[path])
    rulebook = load_rules(tmp_path / "rules.yml")
    assert bool(rulebook.receivers) == (overlay != "development")
    secrets = {mount["mountPath"] for mount in container(objects, "alerting")["volumeMounts"]}
    for receiver in rulebook.receivers:
        for file in (receiver.url_file, receiver.secret_file):
            assert file is not None
            assert str(Path(file).parent) in secrets


def mounted_files(objects: list[Object], service: str) -> dict[str, str]:
    """The contents of every ConfigMap's file that a service's container sees, by its path."""
    (found,) = [o for o in objects if o["kind"] == "Deployment" and o["metadata"]["name"] == service]
    maps = {o["metadata"]["name"]: o["data"] for o in objects if o["kind"] == "ConfigMap"}
    volumes = {v["name"]: v for v in found["spec"]["template"]["spec"]["volumes"]}
    return {
        f"{mount['mountPath']}/{name}": text
        for mount in container(objects, service)["volumeMounts"]
        if "configMap" in volumes[mount["name"]]
        for name, text in maps[volumes[mount["name"]]["configMap"]["name"]].items()
    }


@pytest.mark.parametrize("overlay", ["production", "production-hpa"])
def test_every_alert_links_to_a_runbook_that_is_served(
    rendered: dict[str, list[Object]], overlay: str
) -> None:
    (rules,) = [o for o in rendered[overlay] if o["kind"] == "PrometheusRule"]
    base = environment(rendered[overlay], "alerting")["DRIFTLINE_PUBLIC_URL"]
    alerts = [rule for group in rules["spec"]["groups"] for rule in group["rules"] if "alert" in rule]
    assert len(alerts) > 15
    for alert in alerts:
        assert alert["annotations"]["runbook_url"] == f"{base}/runbooks/{alert['alert']}"
        assert has_runbook(alert["alert"])


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("service", [name for name in SERVICES if name != "alerting"])
def test_an_image_can_read_the_bundle_store(
    rendered: dict[str, list[Object]], overlay: str, service: str
) -> None:
    """fsspec imports the file system of a protocol only when asked for it: a lock without it is not seen."""
    protocol, found, _ = environment(rendered[overlay], service)["DRIFTLINE_BUNDLE_STORE"].partition("://")
    module = known_implementations[protocol if found else "file"]["class"].rpartition(".")[0]
    importlib.import_module(module)  # and what it imports in turn is in the tests' lock
    brings = packages_distributions()[module.partition(".")[0]]
    lock = (ROOT / f"requirements/{service}.lock").read_text()
    assert set(re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)) & {name.lower() for name in brings}
