"""Who may talk to whom, what is written down in clear, and what changes with its contents."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Final

from devstack.k8s.objects import PART_OF, PASSWORD_IN_URL, is_ours, of, pods
from devstack.k8s.rendering import Object, name_of

_SECRET: Final = re.compile(r"password|secret|token|access_?key|redis_url", re.IGNORECASE)
_HARMLESS_URL: Final = re.compile(r"^\w+://[^@\s]+$")
_EVERYWHERE: Final = ("0.0.0.0/0", "::/0")


def isolated(objects: list[Object]) -> Iterator[str]:
    """There is a policy that denies everything, and no other that allows everything again."""
    policies = of(objects, "NetworkPolicy")
    if not any(_denies_all(found["spec"]) for found in policies):
        yield "no NetworkPolicy denies what the others do not allow"
    for found in policies:
        for rule in found["spec"].get("ingress", []):
            if not _narrow(rule.get("from", [])):
                yield f"{name_of(found)} lets everybody in"
        for rule in found["spec"].get("egress", []):
            if not _narrow(rule.get("to", [])) and not rule.get("ports"):
                yield f"{name_of(found)} lets everything out"


def _denies_all(spec: Object) -> bool:
    everyone = spec["podSelector"].get("matchLabels") == {PART_OF: "driftline"}
    both = set(spec["policyTypes"]) == {"Ingress", "Egress"}
    return everyone and both and not {"ingress", "egress"} & set(spec)


def _narrow(peers: list[Object]) -> bool:
    """Return whether some peers are named, and none of them is everybody."""
    return bool(peers) and all(
        any(peer.get(key) for key in ("podSelector", "namespaceSelector"))
        or peer.get("ipBlock", {}).get("cidr", _EVERYWHERE[0]) not in _EVERYWHERE
        for peer in peers
    )


def no_secrets(objects: list[Object]) -> Iterator[str]:
    """Nothing secret is written down: references only (a URL without a password is none)."""
    for found in of(objects, "ConfigMap"):
        for key, value in found.get("data", {}).items():
            if _SECRET.search(key) and not key.endswith("_FILE") and not _HARMLESS_URL.match(value):
                yield f"{name_of(found)} holds {key} in clear"
            elif PASSWORD_IN_URL.search(value):
                yield f"{name_of(found)} holds a password in {key}, in clear"
    for found in of(objects, "Secret"):
        texts = found.get("stringData", {}) | {
            key: base64.b64decode(value).decode(errors="replace")
            for key, value in found.get("data", {}).items()
        }
        yield from (
            f"{name_of(found)} holds {key} in clear"
            for key, text in texts.items()
            if not _HARMLESS_URL.match(text)
        )
    for name, _, pod in pods(objects):
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            for variable in container.get("env", []):
                value = str(variable.get("value", ""))
                secret = _SECRET.search(variable["name"]) and not _HARMLESS_URL.match(value)
                if value and (secret or PASSWORD_IN_URL.search(value)):
                    yield f"{name} holds {variable['name']} in clear"


def undisturbed(objects: list[Object]) -> Iterator[str]:
    """Kubernetes tells services of no Service: of one called driftline-kafka it makes unknown settings."""
    for name, metadata, pod in pods(objects):
        if is_ours(metadata) and pod.get("enableServiceLinks") is not False:
            yield f"{name} is told of every Service in variables, some of which would be unknown settings"


def hashed(objects: list[Object]) -> Iterator[str]:
    """A changed configuration changes its name, so that the pods that use it are replaced."""
    for found in of(objects, "ConfigMap"):
        if not re.search(r"-[a-z0-9]{10}$", found["metadata"]["name"]):
            yield f"{name_of(found)} has no hash in its name"
