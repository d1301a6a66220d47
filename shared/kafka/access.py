"""What each service may do on the brokers, and no more: least privilege, as rules of Kafka's own authorizer.

The k8s overlays make their Strimzi users of it; ``tests/integration/test_access.py`` runs every service with
nothing but this against a broker that refuses the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from shared.topics import TopicNames

Resource = Literal["topic", "group", "transactionalId"]
Operation = Literal["Read", "Write", "Delete", "Describe", "DescribeConfigs"]


@dataclass(frozen=True, slots=True)
class Access:
    """What one service does.

    Attributes
    ----------
    reads, writes
        Topics, by the names that :class:`shared.topics.TopicNames` has for them.
    states
        Names of its pipelines: each has a state topic, a consumer group and transactional ids.
    trims
        Topics of which it deletes what it needs no more.
    watches
        Pipelines of others whose committed offsets it reads.
    transactional
        Whether its pipelines write in transactions.
    """

    reads: tuple[str, ...]
    writes: tuple[str, ...]
    states: tuple[str, ...]
    trims: tuple[str, ...] = ()
    watches: tuple[str, ...] = ()
    transactional: bool = True


ACCESS: Final = {
    "inference": Access(
        reads=("events",), writes=("predictions", "dead_letters", "reports"), states=("inference",)
    ),
    "shadow": Access(
        reads=("events", "predictions", "labelled", "reports"),
        writes=("shadow_predictions", "dead_letters", "reports"),
        states=("shadow", "shadow-labels"),
        watches=("inference",),
    ),
    "drift": Access(
        reads=("events", "predictions", "drift_counts"),
        writes=("drift_counts", "reports"),
        states=("drift", "drift-merge"),
    ),
    "performance": Access(
        reads=("predictions", "shadow_predictions", "labels", "outcomes", "performance_log"),
        writes=("performance_log", "labelled", "dead_letters", "reports"),
        states=("performance", "performance-routing"),
        trims=("performance_log",),
    ),
    "alerting": Access(
        reads=("reports", "alerts", "alert_commands"),
        writes=("alerts", "dead_letters", "reports"),
        states=("alerting",),
        transactional=False,
    ),
}
"""By service."""


@dataclass(frozen=True, slots=True, order=True)
class Rule:
    """One resource and what may be done with it.

    Attributes
    ----------
    operations
        In alphabetical order.
    prefix
        Whether everything is meant whose name begins like this.
    """

    resource: Resource
    name: str
    operations: tuple[Operation, ...]
    prefix: bool = False


def rules(service: str, names: TopicNames, *, group_prefix: str = "driftline") -> list[Rule]:
    """Return what a service must be allowed.

    Transactional ids begin with the name of the pipeline's group and a dot, and so does the group with which
    a service finds out, before it reads anything, whether transactions are to be had.

    Examples
    --------
    >>> for rule in rules("inference", TopicNames("prod.")):
    ...     print(rule.resource, rule.name + "*" * rule.prefix, *rule.operations)
    group driftline.inference Describe Read
    group driftline.inference.* Describe Read
    topic prod.dead-letters Describe DescribeConfigs Read Write
    topic prod.events Describe DescribeConfigs Read
    topic prod.inference-state Describe DescribeConfigs Read Write
    topic prod.predictions Describe DescribeConfigs Read Write
    topic prod.reports Describe DescribeConfigs Read Write
    transactionalId driftline.inference.* Describe Write
    """
    return sorted(_rules(ACCESS[service], names, group_prefix))


def _rules(access: Access, names: TopicNames, group_prefix: str) -> Iterator[Rule]:
    allowed: dict[str, set[Operation]] = {}
    own = [names.state(name) for name in access.states]
    # To find a transaction that the broker has forgotten to end, a service looks into what it writes to.
    read = access.reads + access.writes if access.transactional else access.reads
    wanted: dict[Operation, list[str]] = {
        "Read": [*(getattr(names, name) for name in read), *own],
        "Write": [*(getattr(names, name) for name in access.writes), *own],
        "Delete": [getattr(names, name) for name in access.trims],
    }
    for operation, topics in wanted.items():
        for topic in topics:
            allowed.setdefault(topic, {"Describe", "DescribeConfigs"}).add(operation)
    for topic, operations in allowed.items():
        yield Rule("topic", topic, tuple(sorted(operations)))
    for name in access.states:
        yield Rule("group", f"{group_prefix}.{name}", ("Describe", "Read"))
        if access.transactional:
            yield Rule("group", f"{group_prefix}.{name}.", ("Describe", "Read"), prefix=True)
            yield Rule("transactionalId", f"{group_prefix}.{name}.", ("Describe", "Write"), prefix=True)
    for name in access.watches:
        yield Rule("group", f"{group_prefix}.{name}", ("Describe",))
