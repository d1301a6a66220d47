"""What must hold of every rendered object, for security and for staying available."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from devstack.k8s.rendering import Object
from devstack.k8s.rules.available import kept_available, probed, rolled, scaled
from devstack.k8s.rules.closed import hashed, isolated, no_secrets, undisturbed
from devstack.k8s.rules.confined import identities, restricted

Rule = Callable[[list[Object]], Iterator[str]]

RULES: Final[tuple[Rule, ...]] = (
    restricted,
    identities,
    probed,
    rolled,
    kept_available,
    isolated,
    scaled,
    no_secrets,
    undisturbed,
    hashed,
)


def violations(objects: list[Object]) -> list[str]:
    """Return a sentence for everything that breaks a rule; empty when all is well."""
    return [sentence for rule in RULES for sentence in rule(objects)]
