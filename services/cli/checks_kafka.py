"""The checks of the broker: reachable, topics as the services need them, transactions."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from services.cli.checks import Check, failed, ok, unknown
from services.cli.connection import Connection, partitions_by_topic
from shared.errors import ConfigError, ServiceError
from shared.kafka.capability import require_transactions
from shared.kafka.security import check_connection
from shared.topics import STAMPS_AHEAD, STATEFUL_SERVICES, TopicNames, topic_specs

Counts = Mapping[str, int]
Configs = Mapping[str, Mapping[str, str]]

_FOREVER: Final = 1 << 62
_LOG_APPEND_TIME: Final = 1


async def broker(connection: Connection) -> list[Check]:
    """Reach a broker and log in."""
    await check_connection(connection.client)
    async with _admin(connection) as admin:
        cluster = await admin.describe_cluster()
    brokers = cluster["brokers"]
    count = f"{len(brokers)} broker{'' if len(brokers) == 1 else 's'}"
    return [ok("broker", f"{count} of cluster {cluster.get('cluster_id') or '?'}")]


async def topics(connection: Connection) -> list[Check]:
    """Look for the topics that today's services read and write, and at their settings."""
    names = connection.topics
    needed = [names.events, names.predictions, names.dead_letters, names.reports]
    needed += [names.state(service) for service in STATEFUL_SERVICES]
    async with _admin(connection) as admin:
        described = await admin.describe_topics()
        counts = {t["topic"]: len(t["partitions"]) for t in described if not t["error_code"]}
        configs = {name: await _configs(admin, name) for name in needed if name in counts}
    return [
        _present(connection, needed, counts),
        *_partitions(names, counts),
        *_dead_letters(connection, configs),
        *_compaction(connection, configs),
        *_stamps(connection, configs),
    ]


def _present(connection: Connection, needed: Sequence[str], counts: Counts) -> Check:
    missing = [name for name in needed if name not in counts]
    if missing:
        return failed(
            "topics", f"missing: {', '.join(missing)}", f"driftline topics create{_flags(connection)}"
        )
    return ok("topics", ", ".join(f"{name} ({counts[name]})" for name in needed))


def _partitions(names: TopicNames, counts: Counts) -> list[Check]:
    """Compare partition counts with the events': predictions and state keep their event's partition."""
    if names.events not in counts:
        return [unknown("partitions", "there are no events to compare with")]
    events = counts[names.events]
    same = [names.predictions, *(names.state(service) for service in STATEFUL_SERVICES)]
    odd = [name for name in same if counts.get(name, events) != events]
    if not odd:
        return [ok("partitions", f"{events}, the same wherever a record keeps its event's partition")]
    found = f"{names.events} has {events}, " + ", ".join(f"{name} {counts[name]}" for name in odd)
    create = f"driftline topics create --partitions {events}"
    return [failed("partitions", found, f"stop the services, delete {' and '.join(odd)}, then: {create}")]


def _dead_letters(connection: Connection, configs: Configs) -> list[Check]:
    """Compare the dead letters' limits with the events': what may come in must fit there, as long."""
    events, letters = connection.topics.events, connection.topics.dead_letters
    if events not in configs or letters not in configs:
        return [unknown("dead letters", "there are no two topics to compare")]
    if not configs[events] or not configs[letters]:
        return [unknown("dead letters", "the broker does not tell the topics' settings")]
    wrong: dict[str, str] = {}
    for key in ("max.message.bytes", "retention.ms"):
        have, want = _size(configs[letters][key]), _size(configs[events][key])
        if have < want:
            wrong[key] = configs[events][key]
    if "compact" in configs[letters]["cleanup.policy"]:
        wrong["cleanup.policy"] = "delete"
    if wrong:
        found = ", ".join(f"{key} is {configs[letters][key]}, not {value}" for key, value in wrong.items())
        return [failed("dead letters", found, _alter(connection, letters, wrong))]
    return [ok("dead letters", "take whatever the events take, and keep it as long")]


def _compaction(connection: Connection, configs: Configs) -> list[Check]:
    """Look whether state topics are compacted: deleted by age, a quiet partition's state would go."""
    checks = []
    for service in STATEFUL_SERVICES:
        name = connection.topics.state(service)
        policy = configs.get(name, {}).get("cleanup.policy")
        if policy not in (None, "compact"):
            todo = _alter(connection, name, {"cleanup.policy": "compact"})
            checks.append(failed(f"state of {service}", f"cleanup.policy of {name} is {policy}", todo))
    return checks


def _stamps(connection: Connection, configs: Configs) -> list[Check]:
    """Look whether a producer with a wrong clock may write into the future: drift waits for such a time."""
    checks = []
    for spec in topic_specs(connection.topics):
        found = configs.get(spec.name, {}).get(STAMPS_AHEAD)
        if spec.stamps_ahead_ms is None or found is None or int(found) <= spec.stamps_ahead_ms:
            continue
        todo = _alter(connection, spec.name, {STAMPS_AHEAD: str(spec.stamps_ahead_ms)})
        said = f"{STAMPS_AHEAD} of {spec.name} is {found}: records may be stamped far in the future"
        checks.append(failed(f"timestamps of {spec.name}", said, todo))
    return checks


async def transactions(connection: Connection, delivery: str) -> list[Check]:
    """Carry out a transaction with an offset in it and abort it."""
    group, topic = connection.group("doctor"), connection.topics.events
    async with connection.reader() as consumer:
        if topic not in await partitions_by_topic(consumer):
            return [unknown("delivery", f"it takes the topic {topic} to try")]
    try:
        await require_transactions(connection.client, group=group, topic=topic)
    except ConfigError:
        found = "this broker carries out no transactions: at-least-once is what can be had"
        if delivery == "at-least-once":
            return [ok("delivery", found)]
        todo = "use Apache Kafka, or set DRIFTLINE_DELIVERY=at-least-once for the services and for this check"
        return [failed("delivery", found, todo)]
    return [ok("delivery", "transactions work: exactly-once can be had")]


async def clock(connection: Connection, most: float) -> list[Check]:
    """Have the broker put its time on a record, in a topic made for it and deleted again."""
    name = f"{connection.topics.prefix}doctor-{secrets.token_hex(4)}"
    topic = NewTopic(name, 1, 1, topic_configs={"message.timestamp.type": "LogAppendTime"})
    async with _admin(connection) as admin:
        response = await admin.create_topics([topic], timeout_ms=15_000)
        code = response.topic_errors[0][1]
        if code:
            reason = for_code(code).__name__
            return [unknown("broker's clock", f"the broker does not make the topic {name}: {reason}")]
        try:
            ahead = await _ahead(connection, name)
        finally:
            await admin.delete_topics([name], timeout_ms=15_000)
    if ahead is None:
        return [unknown("broker's clock", "the broker puts no time of its own on records")]
    return [compare_clocks("broker's clock", ahead, most)]


def compare_clocks(name: str, ahead: float, most: float) -> Check:
    """Return the check of a clock that is ``ahead`` seconds before this machine's.

    Examples
    --------
    >>> compare_clocks("Redis's clock", -0.012, most=2.0).found
    '0.012 s behind this machine'
    """
    found = f"{abs(ahead):.3f} s {'ahead of' if ahead > 0 else 'behind'} this machine"
    if abs(ahead) <= most:
        return ok(name, found)
    return failed(name, found, "set both clocks by NTP; on this machine: sudo timedatectl set-ntp true")


async def _ahead(connection: Connection, topic: str) -> float | None:
    """Return seconds by which the broker's clock is ahead, None where it puts no time on a record."""
    async with AIOKafkaProducer(**connection.client, acks="all") as producer:
        await producer.send_and_wait(topic, b"warm")  # finds the leader, so that the next one is quick
        before = time.time()
        sent = await producer.send_and_wait(topic, b"clock")
        after = time.time()
    if sent.timestamp_type != _LOG_APPEND_TIME:
        return None
    return float(sent.timestamp) / 1000 - (before + after) / 2


@asynccontextmanager
async def _admin(connection: Connection) -> AsyncIterator[Any]:
    """Open an admin client; what the broker refuses becomes a sentence."""
    admin = AIOKafkaAdminClient(**connection.client)
    try:
        await admin.start()
        yield admin
    except KafkaError as error:
        raise ServiceError(f"the broker refuses: {error!r}") from error
    finally:
        await admin.close()


async def _configs(admin: Any, topic: str) -> dict[str, str]:
    """Return a topic's settings; empty where the broker does not tell."""
    try:
        responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    except KafkaError:  # the embedded broker has no such request
        return {}
    return {entry[0]: entry[1] for response in responses for item in response.resources for entry in item[4]}


def _size(text: str) -> int:
    return _FOREVER if text == "-1" else int(text)


def _flags(connection: Connection) -> str:
    prefix = connection.topics.prefix
    return f" --topic-prefix {prefix}" if prefix else ""


def _alter(connection: Connection, topic: str, configs: Mapping[str, str]) -> str:
    """Return the command of Kafka's own tools that changes a topic's settings."""
    servers = connection.settings.kafka_bootstrap_servers
    pairs = ",".join(f"{key}={value}" for key, value in configs.items())
    where = f"--bootstrap-server {servers} --entity-type topics --entity-name {topic}"
    return f"kafka-configs.sh {where} --alter --add-config {pairs}"
