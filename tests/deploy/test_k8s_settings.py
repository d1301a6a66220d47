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
