"""Creating topics on a real Apache Kafka and on the embedded broker, through the library and the command."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from click.testing import CliRunner, Result

from devstack.apache_kafka import ApacheKafka
from devstack.embedded_kafka import EmbeddedKafka
from services.cli.__main__ import cli
from shared.errors import ConfigError, ServiceError, TransientError
from shared.kafka.topics import create_topics, existing_topics
from shared.topics import STATEFUL_SERVICES, TopicNames, topic_specs

pytestmark = pytest.mark.kafka

TOGETHER = ("events", "predictions", "shadow-predictions", *(f"{s}-state" for s in STATEFUL_SERVICES))


@pytest.fixture(params=["apache", "embedded"])
def client(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Client options of each kind of broker."""
    if request.param == "apache":
        yield options_of(request.getfixturevalue("kafka"))
    else:
        with EmbeddedKafka() as server:
            yield options_of(server)


def options_of(server: ApacheKafka | EmbeddedKafka) -> dict[str, Any]:
    return {"bootstrap_servers": server.bootstrap_servers} | server.client_settings()


async def create(client: dict[str, Any], name: str, partitions: int, **configs: str) -> None:
    admin = AIOKafkaAdminClient(**client)
    await admin.start()
    try:
        response = await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=configs)])
        assert response.topic_errors[0][1] == 0
        async with asyncio.timeout(15):
            while name not in await admin.list_topics():
                await asyncio.sleep(0.02)
    finally:
        await admin.close()


async def configs_of(client: dict[str, Any], topic: str) -> dict[str, str]:
    admin = AIOKafkaAdminClient(**client)
    await admin.start()
    try:
        (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        return {entry[0]: entry[1] for entry in response.resources[0][4]}
    finally:
        await admin.close()


async def test_topics_are_created_once(client: dict[str, Any], topic_prefix: str) -> None:
    names = TopicNames(topic_prefix)
    assert set((await existing_topics(client, names)).values()) == {None}
    first = await create_topics(client, names, partitions=4)
    assert {state.action for state in first} == {"created"}
    wanted = {spec.name: spec.partitions for spec in topic_specs(names, partitions=4)}
    assert {state.name: state.partitions for state in first} == wanted
    assert await existing_topics(client, names) == wanted
    second = await create_topics(client, names, partitions=4)
    assert [(state.name, state.action, state.differences) for state in second] == [
        (name, "exists", ()) for name in wanted
    ]


async def test_a_missing_topic_takes_the_number_of_the_events_that_exist(
    client: dict[str, Any], topic_prefix: str
) -> None:
    names = TopicNames(topic_prefix)
    await create(client, names.events, 5)
    states = {state.name: state for state in await create_topics(client, names, partitions=4)}
    assert states[names.events].action == "differs"
    assert states[names.events].differences[0] == "it has 5 partitions, not 4"
    assert (states[names.predictions].action, states[names.predictions].partitions) == ("created", 5)
    found = await existing_topics(client, names)
    assert {found[topic_prefix + name] for name in TOGETHER} == {5}


@pytest.mark.parametrize("events_exist", [True, False])
async def test_predictions_that_cannot_go_with_the_events_are_refused_and_nothing_is_made(
    events_exist: bool, client: dict[str, Any], topic_prefix: str
) -> None:
    names = TopicNames(topic_prefix)
    await create(client, names.predictions, 3)
    if events_exist:
        await create(client, names.events, 4)
    verb = "has" if events_exist else "would have"
    with pytest.raises(
        ServiceError, match=f"^{names.predictions} has 3 partitions, but {names.events} {verb} 4: "
    ):
        await create_topics(client, names, partitions=4)
    found = await existing_topics(client, names)
    made = {names.predictions, names.events} if events_exist else {names.predictions}
    assert {name for name, partitions in found.items() if partitions is not None} == made


async def test_the_settings_of_a_topic_reach_the_broker(kafka: ApacheKafka, topic_prefix: str) -> None:
    client, names = options_of(kafka), TopicNames(topic_prefix)
    await create_topics(client, names, partitions=1)
    for spec in topic_specs(names, partitions=1):
        actual = await configs_of(client, spec.name)
        assert {key: actual[key] for key in spec.configs(1)} == spec.configs(1)


async def test_an_existing_topic_with_other_settings_is_named(kafka: ApacheKafka, topic_prefix: str) -> None:
    client, names = options_of(kafka), TopicNames(topic_prefix)
    await create(client, names.alerts, 1, **{"retention.ms": "60000"})
    states = {state.name: state for state in await create_topics(client, names, partitions=1)}
    assert states[names.alerts].action == "differs"
    assert states[names.alerts].differences == ("retention.ms is 60000, not 7776000000",)


async def test_more_copies_than_brokers_is_a_sentence(kafka: ApacheKafka, topic_prefix: str) -> None:
    with pytest.raises(
        ServiceError, match=rf"^the broker does not create the topic {topic_prefix}\w+.*: .*3"
    ):
        await create_topics(options_of(kafka), TopicNames(topic_prefix), replication=3)


TOPICS = len(topic_specs(TopicNames()))


def invoke(kafka: ApacheKafka, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["topics", *arguments, "--bootstrap-servers", kafka.bootstrap_servers])


def test_the_command_creates_lists_and_says_what_differs(kafka: ApacheKafka, topic_prefix: str) -> None:
    prefix = ("--topic-prefix", topic_prefix)
    missing = invoke(kafka, "list", *prefix)
    assert isinstance(missing.exception, ServiceError)
    assert (
        str(missing.exception)
        == f"{TOPICS} of {TOPICS} topics are missing; `driftline topics create` makes them"
    )
    created = invoke(kafka, "create", "--partitions", "2", *prefix)
    assert created.exit_code == 0, created.output
    assert created.output.splitlines()[-1] == f"{TOPICS} created, 0 existed, 0 of them not as asked for"
    assert invoke(kafka, "list", *prefix).output.splitlines()[0].split() == [
        f"{topic_prefix}events",
        "2",
        "partitions",
    ]
    again = invoke(kafka, "create", "--partitions", "3", *prefix)
    assert again.exit_code == 0, again.output
    lines = again.output.splitlines()
    assert lines[0].startswith(f"! {topic_prefix}events")
    assert lines[0].endswith("differs  2 partitions; it has 2 partitions, not 3")
    assert lines[-1].startswith(f"0 created, {TOPICS} existed, ")


@pytest.mark.parametrize("copies", ["0", "-1", "many", "1000"])
def test_a_number_of_copies_that_is_none_is_refused(copies: str) -> None:
    result = CliRunner().invoke(
        cli, ["topics", "create", "--replication", copies, "--bootstrap-servers", "127.0.0.1:1"]
    )
    assert result.exit_code == 2
    assert "a number of copies, or auto" in result.output


def test_the_command_says_where_it_looked() -> None:
    result = CliRunner().invoke(cli, ["topics", "list", "--bootstrap-servers", "127.0.0.1:1"])
    assert isinstance(result.exception, TransientError)
    assert str(result.exception).startswith(
        "DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS: 127.0.0.1:1 cannot be reached"
    )
    result = CliRunner().invoke(cli, ["topics", "list", "--bootstrap-servers", "nowhere"])
    assert isinstance(result.exception, ConfigError)
