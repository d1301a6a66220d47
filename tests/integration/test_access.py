"""Every service with no more than what `shared.kafka.access` allows, on a broker that refuses the rest."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import TopicAuthorizationFailedError
from aiokafka.protocol.admin import CreateAclsRequest

from devstack.apache_kafka import ApacheKafka
from devstack.redis_server import RedisServer
from shared.kafka.access import ACCESS, Rule, rules
from shared.messages import DriftReport, InferenceReport, PerformanceReport, ServiceReport, ShadowReport
from shared.topics import TopicNames
from tests.integration.shadow.conftest import Stage
from tests.processes import ServiceProcess, service
from tests.stage import SESSION_SECONDS, open_registry, registry_settings
from tests.streams import Client, produce, read_all, until

pytestmark = pytest.mark.kafka

EVENTS: Final = 300
PASSWORD: Final = "of-{}-on-loopback"
RESOURCES: Final = {"topic": 2, "group": 3, "transactionalId": 5}
OPERATIONS: Final = {"Read": 3, "Write": 4, "Delete": 6, "Describe": 8, "DescribeConfigs": 10}
LITERAL, PREFIXED, ALLOW = 3, 4, 3


@pytest.fixture(scope="module")
def strict_kafka() -> Iterator[ApacheKafka]:
    """A broker where nobody but the one who sets it up may do what is not allowed."""
    authorizer = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:driftline;User:ANONYMOUS",  # the latter are brokers and controllers
    }
    users = {name: PASSWORD.format(name) for name in ACCESS}
    with ApacheKafka(security="sasl_tls", users=users, settings=authorizer) as server:
        yield server


async def allow(client: Client, user: str, allowed: list[Rule]) -> None:
    admin = AIOKafkaAdminClient(**client)
    await admin.start()
    try:
        for rule in allowed:
            pattern = PREFIXED if rule.prefix else LITERAL
            for operation in rule.operations:
                answer = await admin._send_to_controller(
                    CreateAclsRequest(
                        RESOURCES[rule.resource],
                        rule.name,
                        pattern,
                        f"User:{user}",
                        "*",
                        OPERATIONS[operation],
                        ALLOW,
                    )
                )
                assert answer.creation_responses[0][0] == 0, answer
    finally:
        await admin.close()


def login(server: ApacheKafka, name: str) -> dict[str, str]:
    return {
        "DRIFTLINE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "DRIFTLINE_KAFKA_SSL_CA_FILE": str(server.ca_file),
        "DRIFTLINE_KAFKA_SASL_USERNAME": name,
        "DRIFTLINE_KAFKA_SASL_PASSWORD": PASSWORD.format(name),
    }


async def test_every_service_works_with_what_it_is_allowed_and_no_more(
    strict_kafka: ApacheKafka, redis_server: RedisServer, topic_prefix: str, tmp_path: Path
) -> None:
    settings = registry_settings(redis_server, topic_prefix, tmp_path) | {
        "DRIFTLINE_HEARTBEAT_SECONDS": "1",
        "DRIFTLINE_SESSION_SECONDS": SESSION_SECONDS,
    }
    async with AsyncExitStack() as stack:
        registry = await stack.enter_async_context(open_registry(redis_server, topic_prefix, tmp_path))
        stage = await Stage.set_up(strict_kafka, topic_prefix, tmp_path, settings=settings, registry=registry)
        await stage.publish("1")
        await stage.publish("2", candidate=True)
        prefix = stage.settings["DRIFTLINE_GROUP_PREFIX"]
        running: dict[str, ServiceProcess] = {}
        for name in ACCESS:
            await allow(stage.client, name, rules(name, stage.topics, group_prefix=prefix))
            own = stage.settings | login(strict_kafka, name)
            if name == "performance":
                own["DRIFTLINE_JOIN_DIR"] = str(tmp_path / "join")
            if name != "alerting":
                own["DRIFTLINE_REPORT_SECONDS"] = "0.5"
            running[name] = stack.enter_context(service(name, tmp_path / name, own))
        for process in running.values():
            await process.ready(seconds=120)
        await send(stage)

        async def all_did_their_part() -> bool:
            topics = stage.topics
            answered = [await size(stage.client, t) for t in (topics.predictions, topics.shadow_predictions)]
            kinds = (InferenceReport, ShadowReport, DriftReport, PerformanceReport)
            return (
                answered == [EVENTS, EVENTS]
                and await size(stage.client, topics.labelled) >= EVENTS
                and await size(stage.client, topics.dead_letters) == 1
                and all([await stage.newest(kind) for kind in kinds])
                and {report.service for report in await stage.newest(ServiceReport)} == set(ACCESS)
                and await stage.committed_of("alerting", topics.reports) > 0
            )

        await until(all_did_their_part, seconds=120, what="answers, labels and reports of every service")
        for process in running.values():
            process.part.stop(30.0)
        refused = [
            line
            for process in running.values()
            for line in process.log_lines()
            if "uthoriz" in json.dumps(line)
        ]
        assert refused == []
        await nobody_reads_what_is_not_theirs(strict_kafka, stage)


async def send(stage: Stage) -> None:
    now = int(time.time() * 1000)
    events = [
        {"event_id": f"e{i}", "occurred_at": now, "features": {"f0": i % 7, "f1": i % 4, "f2": 0.5}}
        for i in range(EVENTS)
    ]
    rows = [(i % 3, json.dumps(event).encode()) for i, event in enumerate(events)]
    await produce(stage.client, stage.topics.events, [*rows, (0, b"no event")])
    labels = [{"event_id": f"e{i}", "label": "yes", "observed_at": now} for i in range(EVENTS)]
    await produce(
        stage.client,
        stage.topics.labels,
        [(i % 3, json.dumps(label).encode()) for i, label in enumerate(labels)],
    )


async def size(client: Client, topic: str) -> int:
    return sum(map(len, (await read_all(client, topic)).values()))


async def nobody_reads_what_is_not_theirs(server: ApacheKafka, stage: Stage) -> None:
    """That the broker does refuse: inference is told who bought, and drift what was alerted, by nobody."""
    for name, topic in (("inference", stage.topics.labels), ("drift", stage.topics.alerts)):
        client: dict[str, Any] = stage.client | {
            "sasl_plain_username": name,
            "sasl_plain_password": PASSWORD.format(name),
        }
        with pytest.raises(TopicAuthorizationFailedError):
            await read_all(client, topic)


def test_every_service_has_its_rules() -> None:
    services = Path(__file__).parents[2] / "services"
    found = {path.parent.name for path in services.glob("*/app.py")}
    assert found == set(ACCESS)
    assert all(rules(name, TopicNames()) for name in found)
