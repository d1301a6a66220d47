"""The security settings against a real Apache Kafka: SCRAM over TLS, and TLS alone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from devstack.apache_kafka import ApacheKafka
from devstack.embedded_kafka import EmbeddedKafka
from devstack.ports import Ports
from devstack.security import PASSWORD, USERNAME, make_certificates
from shared.errors import ConfigError, ServiceError, TransientError
from shared.kafka.security import check_connection, client_options
from shared.settings import ServiceSettings

pytestmark = pytest.mark.kafka

WITHIN = 20.0


@pytest.fixture(scope="module")
def sasl_kafka() -> Iterator[ApacheKafka]:
    with ApacheKafka(security="sasl_tls") as server:
        yield server


@pytest.fixture(scope="module")
def tls_kafka() -> Iterator[ApacheKafka]:
    with ApacheKafka(security="tls") as server:
        yield server


def sasl(server: ApacheKafka, **changes: Any) -> dict[str, Any]:
    """Return the options of a client that logs in."""
    given: dict[str, Any] = {
        "kafka_bootstrap_servers": server.bootstrap_servers,
        "kafka_security_protocol": "SASL_SSL",
        "kafka_sasl_username": USERNAME,
        "kafka_sasl_password": PASSWORD,
        "kafka_ssl_ca_file": server.ca_file,
    }
    return client_options(ServiceSettings(**given | changes))


def tls(server: ApacheKafka, **changes: Any) -> dict[str, Any]:
    """Return the options of a client that only encrypts."""
    given: dict[str, Any] = {
        "kafka_bootstrap_servers": server.bootstrap_servers,
        "kafka_security_protocol": "SSL",
        "kafka_ssl_ca_file": server.ca_file,
    }
    return client_options(ServiceSettings(**given | changes))


async def refusal(options: dict[str, Any]) -> ServiceError:
    """Return the error of a first connection, which must come in time."""
    with pytest.raises(ServiceError) as caught:
        await asyncio.wait_for(check_connection(options), WITHIN)
    return caught.value


async def round_trip(options: dict[str, Any], topic: str) -> bytes:
    """Create a topic, write and read one record with the same options."""
    admin = AIOKafkaAdminClient(**options)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
    finally:
        await admin.close()
    async with AIOKafkaProducer(**options) as producer:
        await producer.send_and_wait(topic, b"secured")
    async with AIOKafkaConsumer(topic, auto_offset_reset="earliest", **options) as consumer:
        record = await asyncio.wait_for(consumer.getone(), WITHIN)
    value: bytes = record.value
    return value


async def test_every_client_works_with_the_right_password(sasl_kafka: ApacheKafka, topic_prefix: str) -> None:
    await check_connection(sasl(sasl_kafka))
    assert await round_trip(sasl(sasl_kafka), f"{topic_prefix}secured") == b"secured"


async def test_every_client_works_with_tls_alone(tls_kafka: ApacheKafka, topic_prefix: str) -> None:
    await check_connection(tls(tls_kafka))
    assert await round_trip(tls(tls_kafka), f"{topic_prefix}secured") == b"secured"


async def test_a_wrong_password(sasl_kafka: ApacheKafka) -> None:
    error = await refusal(sasl(sasl_kafka, kafka_sasl_password="hunter2"))
    assert isinstance(error, ConfigError)
    assert error.problems == [
        f"DRIFTLINE_KAFKA_SASL_PASSWORD: {sasl_kafka.bootstrap_servers} refuses it for the user 'driftline' "
        "with SCRAM-SHA-512"
    ]


async def test_a_mechanism_that_is_not_offered(sasl_kafka: ApacheKafka) -> None:
    error = await refusal(sasl(sasl_kafka, kafka_sasl_mechanism="SCRAM-SHA-256"))
    assert isinstance(error, ConfigError)
    assert error.problems == [
        f"DRIFTLINE_KAFKA_SASL_MECHANISM: {sasl_kafka.bootstrap_servers} does not offer SCRAM-SHA-256"
    ]


@pytest.mark.parametrize("ca", ["another", "the system's"])
async def test_a_broker_that_the_authority_does_not_vouch_for(
    ca: str, sasl_kafka: ApacheKafka, tmp_path: Path
) -> None:
    make_certificates(tmp_path / "ca.pem", tmp_path / "broker.pem")
    ca_file = tmp_path / "ca.pem" if ca == "another" else None
    error = await refusal(sasl(sasl_kafka, kafka_ssl_ca_file=ca_file))
    assert isinstance(error, ConfigError)
    assert error.problems[0].startswith(
        f"DRIFTLINE_KAFKA_SSL_CA_FILE: does not vouch for the certificate of {sasl_kafka.bootstrap_servers}: "
    )


async def test_a_certificate_for_another_name_unless_names_are_not_checked(tls_kafka: ApacheKafka) -> None:
    elsewhere = tls_kafka.bootstrap_servers.replace("127.0.0.1", "127.1")  # the same address, another name
    error = await refusal(tls(tls_kafka, kafka_bootstrap_servers=elsewhere))
    assert isinstance(error, ConfigError)
    assert error.problems[0].startswith(
        f"DRIFTLINE_KAFKA_SSL_CHECK_HOSTNAME: the certificate of {elsewhere} is for another name: "
    )
    await check_connection(tls(tls_kafka, kafka_bootstrap_servers=elsewhere, kafka_ssl_check_hostname=False))


async def test_a_login_that_the_broker_does_not_expect(tls_kafka: ApacheKafka) -> None:
    error = await refusal(sasl(tls_kafka))
    assert isinstance(error, ConfigError)
    assert error.problems == [
        f"DRIFTLINE_KAFKA_SECURITY_PROTOCOL: {tls_kafka.bootstrap_servers} expects no login, but SASL_SSL "
        "has one"
    ]


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL"])
async def test_a_protocol_that_the_broker_hangs_up_on(protocol: str, sasl_kafka: ApacheKafka) -> None:
    options = tls(
        sasl_kafka,
        kafka_security_protocol=protocol,
        kafka_ssl_ca_file=sasl_kafka.ca_file if protocol == "SSL" else None,
    )
    error = await refusal(options)
    assert isinstance(error, TransientError)
    assert str(error) == (
        f"DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS: {sasl_kafka.bootstrap_servers} closes the connection; is "
        f"DRIFTLINE_KAFKA_SECURITY_PROTOCOL={protocol} right?"
    )


async def test_nobody_there() -> None:
    ports = Ports()
    server = f"127.0.0.1:{ports.reserve()}"
    try:
        error = await refusal(client_options(ServiceSettings(kafka_bootstrap_servers=server)))
    finally:
        ports.release()
    assert isinstance(error, TransientError)
    assert str(error).startswith(f"DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS: {server} cannot be reached: ")


async def test_a_server_that_accepts_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts, nobody reads
        host, port = silent.getsockname()
        options = client_options(ServiceSettings(kafka_bootstrap_servers=f"{host}:{port}"))
        with pytest.raises(TransientError, match="does not answer in time"):
            await asyncio.wait_for(check_connection(options, timeout=0.3), WITHIN)


async def test_one_broker_that_answers_is_enough(tls_kafka: ApacheKafka) -> None:
    ports = Ports()
    servers = f"127.0.0.1:{ports.reserve()},{tls_kafka.bootstrap_servers}"
    try:
        await check_connection(tls(tls_kafka, kafka_bootstrap_servers=servers))
    finally:
        ports.release()


async def test_the_embedded_broker_needs_no_security() -> None:
    with EmbeddedKafka() as server:
        settings = ServiceSettings(kafka_bootstrap_servers=server.bootstrap_servers)
        await check_connection(client_options(settings))


def test_files_that_hold_no_certificate(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    given: dict[str, Any] = {"kafka_bootstrap_servers": "a:1", "kafka_security_protocol": "SSL"}
    with pytest.raises(ConfigError, match=f"DRIFTLINE_KAFKA_SSL_CA_FILE: {empty} holds no PEM certificate"):
        client_options(ServiceSettings(**given, kafka_ssl_ca_file=empty))
    with pytest.raises(ConfigError, match=r"DRIFTLINE_KAFKA_SSL_CERT_FILE: .* are not a PEM certificate and"):
        client_options(ServiceSettings(**given, kafka_ssl_cert_file=empty, kafka_ssl_key_file=empty))


def test_options_hold_no_password_where_there_is_no_login() -> None:
    options = client_options(ServiceSettings(kafka_bootstrap_servers="a:1,b:2"))
    assert options == {
        "bootstrap_servers": "a:1,b:2",
        "client_id": "driftline-cli",
        "security_protocol": "PLAINTEXT",
    }
