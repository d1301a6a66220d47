"""docker-compose.yml, its variables filled in, and the commands that its containers would run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from jsonschema import Draft7Validator

Service = dict[str, Any]

_SCHEMA: Final = Path(__file__).with_name("compose-spec.json")
_VARIABLE: Final = re.compile(r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}")
_ENTRYPOINT: Final = re.compile(r"^ENTRYPOINT (\[.*\])$", re.MULTILINE)
_ENV: Final = re.compile(r"^ENV ((?:.*\\\n)*.*)$", re.MULTILINE)
_DRIFTLINE: Final = "driftline/"


def read_compose(path: Path, variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the file with anchors merged and ``${NAME:-default}`` filled in."""
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    filled: dict[str, Any] = _fill(document, variables or {})
    return filled


def _fill(node: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _fill(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [_fill(value, variables) for value in node]
    if isinstance(node, str):
        return _VARIABLE.sub(lambda found: variables.get(found["name"], found["default"] or ""), node)
    return node


def schema_errors(document: dict[str, Any]) -> list[str]:
    """Return what the Compose Specification's schema does not accept, each with its place."""
    schema = json.loads(_SCHEMA.read_text(encoding="utf-8"))
    errors = Draft7Validator(schema).iter_errors(document)
    return [f"{'.'.join(map(str, error.path))}: {error.message}" for error in errors]


def is_ours(service: Service) -> bool:
    """Return whether a service runs one of Driftline's own images."""
    return str(service.get("image", "")).startswith(_DRIFTLINE)


def bind_mounts(service: Service) -> dict[str, str]:
    """Return the repository's files that a service sees, by their path in the container."""
    pairs = (volume.split(":") for volume in service.get("volumes", []))
    return {parts[1]: parts[0] for parts in pairs if parts[0].startswith(".")}


def named_volumes(service: Service) -> dict[str, str]:
    """Return the volumes that a service mounts, by their path in the container."""
    pairs = (volume.split(":") for volume in service.get("volumes", []))
    return {parts[1]: parts[0] for parts in pairs if not parts[0].startswith(".")}


def command(service: Service, root: Path) -> list[str]:
    """Return what the container runs: the image's entry point, as its Dockerfile says, and the command."""
    dockerfile = (root / service["build"]["dockerfile"]).read_text(encoding="utf-8")
    found = _ENTRYPOINT.search(dockerfile)
    assert found is not None, "the Dockerfile has no ENTRYPOINT"
    entrypoint: list[str] = json.loads(found[1])
    return [*entrypoint, *map(str, service.get("command", []))]


def image_environment(service: Service, root: Path) -> dict[str, str]:
    """Return what the image's Dockerfile sets."""
    dockerfile = (root / service["build"]["dockerfile"]).read_text(encoding="utf-8")
    words = " ".join(_ENV.findall(dockerfile)).replace("\\\n", " ").split()
    return dict(word.split("=", 1) for word in words)
