"""TLS and SASL/SCRAM over TLS, as the real broker enforces them."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError

from devstack.apache_kafka import ApacheKafka
from tests.integration.devstack.topics import commit_one_and_abort_one, create, read

pytestmark = pytest.mark.kafka


async def connect(kafka: ApacheKafka, settings: dict[str, object]) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers, request_timeout_ms=3_000, **settings
    )
    try:
        await producer.start()
    finally:
        await producer.stop()


@pytest.fixture(scope="module", params=["tls", "sasl_tls"])
def secured(request: pytest.FixtureRequest) -> Iterator[ApacheKafka]:
    with ApacheKafka(security=request.param) as kafka:
        yield kafka


async def test_a_transaction_goes_through(secured: ApacheKafka) -> None:
    await create(secured, "secured")
    await commit_one_and_abort_one(secured, "secured")
    assert await read(secured, "secured") == [b"committed"]


async def test_an_unknown_authority_is_refused_by_the_client(secured: ApacheKafka) -> None:
    settings = secured.client_settings() | {"ssl_context": ssl.create_default_context()}
    with pytest.raises(KafkaConnectionError):
        await connect(secured, settings)


async def test_a_plaintext_client_is_refused(secured: ApacheKafka) -> None:
    with pytest.raises(KafkaError):
        await connect(secured, {"security_protocol": "PLAINTEXT"})


async def test_a_wrong_password_is_refused(secured: ApacheKafka) -> None:
    if secured.security != "sasl_tls":
        pytest.skip("there is no password without SASL")
    with pytest.raises(KafkaError):
        await connect(secured, secured.client_settings() | {"sasl_plain_password": "wrong"})
