"""Names of the topics, what each one needs, and creating them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from shared.errors import ServiceError
from shared.kafka.security import check_connection

_DAY_MS: Final = 86_400_000
_MIB: Final = 1 << 20
_MOST_REPLICAS: Final = 3
STATEFUL_SERVICES: Final = ("inference",)
"""Services with a state topic of their own."""


@dataclass(frozen=True, slots=True)
class TopicNames:
    """Full names of all topics.

    Parameters
    ----------
    prefix
        Put before every name as it stands, such as ``"prod."``.

    Examples
    --------
    >>> names = TopicNames("prod.")
    >>> names.dead_letters, names.state("inference")
    ('prod.dead-letters', 'prod.inference-state')
    """

    prefix: str = ""
    events: str = field(init=False)
    predictions: str = field(init=False)
    shadow_predictions: str = field(init=False)
    labels: str = field(init=False)
    outcomes: str = field(init=False)
    reports: str = field(init=False)
    alerts: str = field(init=False)
    dead_letters: str = field(init=False)
    retraining_runs: str = field(init=False)

    def __post_init__(self) -> None:
        for name in self.__slots__[1:]:
            object.__setattr__(self, name, self.prefix + name.replace("_", "-"))

    def state(self, service: str) -> str:
        """Return the compacted topic that holds a service's state."""
        return f"{self.prefix}{service}-state"


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """What one topic needs.

    Attributes
    ----------
    name
        Full name.
    partitions
        Their number.
    copartitioned
        Whether it must have as many partitions as the events: its records keep their event's.
    retention_ms
        How long records are kept; ``None`` for ever.
    cleanup
        Kafka's ``cleanup.policy``.
    max_message_bytes
        Largest record batch taken.
    """

    name: str
    partitions: int
    copartitioned: bool
    retention_ms: int | None
    cleanup: Literal["delete", "compact", "compact,delete"] = "delete"
    max_message_bytes: int = _MIB

    def configs(self, replication: int) -> dict[str, str]:
        """Return the topic's settings in Kafka's words."""
        configs = {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(-1 if self.retention_ms is None else self.retention_ms),
            "max.message.bytes": str(self.max_message_bytes),
        }
        if replication >= _MOST_REPLICAS:
            configs["min.insync.replicas"] = "2"  # an acknowledged record survives the loss of a broker
        return configs


@dataclass(frozen=True, slots=True)
class TopicState:
    """What was found or done about one topic.

    Attributes
    ----------
    action
        ``created``, ``exists`` or ``differs``.
    partitions
        How many it has.
    differences
        A sentence per way in which an existing topic is not what was asked for.
    """

    name: str
    action: Literal["created", "exists", "differs"]
    partitions: int
    differences: tuple[str, ...] = ()


def topic_specs(names: TopicNames, *, partitions: int = 12) -> list[TopicSpec]:
    """Return every topic with sensible settings.

    Predictions and labels are kept 30 days, so that a label that matures after two weeks still finds
    its prediction. Events may be 8 MiB; dead letters a little more, since they carry one and the reason.
    """
    few = min(partitions, 3)
    return [
        TopicSpec(names.events, partitions, True, 7 * _DAY_MS, max_message_bytes=8 * _MIB),
        TopicSpec(names.predictions, partitions, True, 30 * _DAY_MS),
        TopicSpec(names.shadow_predictions, partitions, True, 7 * _DAY_MS),
        TopicSpec(names.labels, partitions, False, 30 * _DAY_MS),
        TopicSpec(names.outcomes, partitions, False, 30 * _DAY_MS),
        TopicSpec(names.reports, few, False, 30 * _DAY_MS, "compact,delete"),
        TopicSpec(names.alerts, 1, False, 90 * _DAY_MS),
        TopicSpec(names.dead_letters, few, False, 30 * _DAY_MS, max_message_bytes=9 * _MIB),
        TopicSpec(names.retraining_runs, 1, False, 365 * _DAY_MS),
        *(
            TopicSpec(names.state(service), partitions, True, None, "compact", max_message_bytes=8 * _MIB)
            for service in STATEFUL_SERVICES
        ),
    ]


async def create_topics(
    client: dict[str, Any], names: TopicNames, *, partitions: int = 12, replication: int | None = None
) -> list[TopicState]:
    """Create the topics that are missing, and say what is there already.

    1. Look at what exists.
    2. If the events exist, the topics that go with them take their number of partitions.
    3. Refuse when an existing topic cannot go with the events; nothing is created then.
    4. Create what is missing.
    5. Compare what existed with what was asked for.

    Parameters
    ----------
    client
        Arguments of every aiokafka client: servers and security.
    partitions
        Number of partitions of the events.
    replication
        Copies of each record; by default three, or as many as there are brokers.

    Raises
    ------
    ServiceError
        An existing topic has another number of partitions than the events, or the broker refuses.
    """
    async with _Admin(client) as admin:
        existing = await _partition_counts(admin)  # 1
        count = existing.get(names.events, partitions)  # 2
        specs = topic_specs(names, partitions=count)
        _refuse_mismatch(specs, existing, names)  # 3
        brokers = len((await admin.describe_cluster())["brokers"])
        copies = replication or min(_MOST_REPLICAS, brokers)
        missing = [spec for spec in specs if spec.name not in existing]
        await _create(admin, missing, copies)  # 4
        states = [TopicState(spec.name, "created", spec.partitions) for spec in missing]
        for spec in (spec for spec in specs if spec.name in existing):  # 5
            wanted = partitions if spec.copartitioned else spec.partitions
            differences = await _differences(admin, spec, existing[spec.name], wanted)
            states.append(
                TopicState(
                    spec.name, "differs" if differences else "exists", existing[spec.name], differences
                )
            )
    order = [spec.name for spec in specs]
    return sorted(states, key=lambda state: order.index(state.name))


async def existing_topics(client: dict[str, Any], names: TopicNames) -> dict[str, int | None]:
    """Return the number of partitions of each of our topics, ``None`` where it does not exist."""
    async with _Admin(client) as admin:
        existing = await _partition_counts(admin)
    return {spec.name: existing.get(spec.name) for spec in topic_specs(names)}


class _Admin:
    """An admin client as a context manager, whose failure to connect names the setting at fault."""

    def __init__(self, client: dict[str, Any]) -> None:
        self._client = client

    async def __aenter__(self) -> Any:
        await check_connection(self._client)
        self._admin = AIOKafkaAdminClient(**self._client)
        await self._admin.start()
        return self._admin

    async def __aexit__(self, *_: object) -> None:
        await self._admin.close()


async def _partition_counts(admin: Any) -> dict[str, int]:
    topics = await admin.describe_topics()
    return {topic["topic"]: len(topic["partitions"]) for topic in topics if not topic["error_code"]}


def _refuse_mismatch(specs: list[TopicSpec], existing: dict[str, int], names: TopicNames) -> None:
    wrong = [
        f"{spec.name} has {existing[spec.name]} partitions"
        for spec in specs
        if spec.copartitioned and existing.get(spec.name, spec.partitions) != spec.partitions
    ]
    if wrong:
        verb = "has" if names.events in existing else "would have"
        raise ServiceError(
            f"{', '.join(wrong)}, but {names.events} {verb} {specs[0].partitions}: a prediction keeps the "
            "partition of its event, so these must be equal; ask for that number, delete the topic that is "
            "wrong, or choose another topic_prefix"
        )


async def _create(admin: Any, specs: list[TopicSpec], replication: int) -> None:
    if not specs:
        return
    topics = [
        NewTopic(spec.name, spec.partitions, replication, topic_configs=spec.configs(replication))
        for spec in specs
    ]
    response = await admin.create_topics(topics, timeout_ms=15_000)
    for name, code, *detail in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:  # somebody else was quicker: fine
            reason = detail[0] if detail and detail[0] else error.description
            raise ServiceError(f"the broker does not create the topic {name}: {reason}")


async def _differences(admin: Any, spec: TopicSpec, has: int, wanted: int) -> tuple[str, ...]:
    found = [] if has == wanted else [f"it has {has} partitions, not {wanted}"]
    actual = await _configs(admin, spec.name)
    for key, value in spec.configs(1).items():
        if key in actual and actual[key] != value:
            found.append(f"{key} is {actual[key]}, not {value}")
    return tuple(found)


async def _configs(admin: Any, topic: str) -> dict[str, str]:
    """Return the topic's settings; empty where the broker does not tell."""
    try:
        responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    except KafkaError:
        return {}  # the embedded broker has no such request
    return {entry[0]: entry[1] for response in responses for item in response.resources for entry in item[4]}
