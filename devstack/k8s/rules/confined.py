"""What a pod may do on its node and in the cluster."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from devstack.k8s.objects import is_ours, of, pods
from devstack.k8s.rendering import Object

_PULLABLE: Final = re.compile(r"^[\w.\-/]+(:\d+[\w.\-/]*)?:[\w.\-]+$|@sha256:[0-9a-f]{64}$")
_OF_THE_POD: Final = ("runAsNonRoot", "runAsUser", "seccompProfile")
"""What a container inherits from its pod unless it says otherwise."""


def restricted(objects: list[Object]) -> Iterator[str]:
    """The Pod Security Standard "restricted", for everybody; a read-only root for Driftline's own."""
    for name, metadata, pod in pods(objects):
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.get(key):
                yield f"{name} shares the node's {key}"
        if any("hostPath" in volume for volume in pod.get("volumes", [])):
            yield f"{name} mounts a path of the node"
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            context = _context(pod, container)
            yield from (f"{name} {text}" for text in _confined(context, read_only=is_ours(metadata)))
            yield from (f"{name} {text}" for text in _stated(container))


def _context(pod: Object, container: Object) -> Object:
    """Return the security context that holds for a container: its own over its pod's."""
    whole = pod.get("securityContext", {})
    inherited = {key: whole[key] for key in _OF_THE_POD if key in whole}
    own: Object = container.get("securityContext", {})
    return inherited | own


def _confined(context: Object, *, read_only: bool) -> Iterator[str]:
    if not context.get("runAsNonRoot") or not context.get("runAsUser"):
        yield "may run as root"
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "has no seccomp profile"
    if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
        yield "may gain privileges"
    capabilities = context.get("capabilities", {})
    if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
        yield "keeps capabilities"
    if read_only and not context.get("readOnlyRootFilesystem"):
        yield "can write to its root file system"


def _stated(container: Object) -> Iterator[str]:
    if not _PULLABLE.search(container["image"]) or container["image"].endswith(":latest"):
        yield f"runs {container['image']}, which does not say which version"
    resources = container.get("resources", {})
    if not {"cpu", "memory"} <= set(resources.get("requests", {})) or "memory" not in resources.get(
        "limits", {}
    ):
        yield "does not say what it needs and may use"


def identities(objects: list[Object]) -> Iterator[str]:
    """No pod holds a token for the Kubernetes API."""
    accounts = {found["metadata"]["name"]: found for found in of(objects, "ServiceAccount")}
    for name, metadata, pod in pods(objects):
        if pod.get("automountServiceAccountToken") is not False:
            yield f"{name} holds a token for the Kubernetes API"
        if is_ours(metadata) and not name.startswith(("Job ", "CronJob ")):
            account = accounts.get(pod.get("serviceAccountName", ""))
            if account is None:
                yield f"{name} has no service account of its own"
            elif account.get("automountServiceAccountToken") is not False:
                yield f"{name}'s service account hands out tokens"
