"""Where things are in rendered objects: pods of every kind, Driftline's services, their settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from devstack.k8s.rendering import Object, name_of
from shared.settings import ServiceSettings

PART_OF: Final = "app.kubernetes.io/part-of"
NAME: Final = "app.kubernetes.io/name"
MAIN: Final = "service"
"""What the container of a service's own program is called; others beside it are sidecars."""

PASSWORD_IN_URL: Final = re.compile(r"://[^/\s:@]*:[^/\s@]+@")


def of(objects: list[Object], *kinds: str) -> list[Object]:
    """Return the objects of some kinds."""
    return [found for found in objects if found["kind"] in kinds]


def pods(objects: list[Object]) -> Iterator[tuple[str, Object, Object]]:
    """Yield the name, the pod's metadata and its specification of everything that makes pods."""
    for found in objects:
        if found["kind"] == "Pod":
            yield name_of(found), found["metadata"], found["spec"]
            continue
        spec = found.get("spec", {})
        if found["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if "containers" in spec.get("template", {}).get("spec", {}):
            yield name_of(found), spec["template"].get("metadata", {}), spec["template"]["spec"]


def is_ours(metadata: Object) -> bool:
    """Return whether a pod's metadata says that it is Driftline's."""
    return bool(metadata.get("labels", {}).get(PART_OF) == "driftline")


def services(objects: list[Object]) -> list[Object]:
    """Return the Deployments of Driftline's own services."""
    return [found for found in of(objects, "Deployment") if is_ours(found["spec"]["template"]["metadata"])]


def main_container(found: Object) -> Object | None:
    """Return the container of a service's own program, None where there is none."""
    containers: list[Object] = found["spec"]["template"]["spec"]["containers"]
    return next((one for one in containers if one["name"] == MAIN), None)


def setting(objects: list[Object], container: Object, name: str) -> Any:
    """Return a setting as a service's container is given it; its default where nothing is said."""
    variable = f"DRIFTLINE_{name.upper()}"
    for given in container.get("env", []):
        if given["name"] == variable and "value" in given:
            return given["value"]
    maps = {found["metadata"]["name"]: found.get("data", {}) for found in of(objects, "ConfigMap")}
    for source in reversed(container.get("envFrom", [])):
        data = maps.get(source.get("configMapRef", {}).get("name"), {})
        if variable in data:
            return data[variable]
    return ServiceSettings.model_fields[name].default
