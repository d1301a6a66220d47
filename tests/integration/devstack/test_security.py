"""TLS and SASL/SCRAM over TLS, as the real broker enforces them."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from devstack.apache_kafka import ApacheKafka
from devstack.probe import NOBODY, Cluster, describe_cluster
from tests.integration.devstack.topics import commit_one_and_abort_one, create, read

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module", params=["tls", "sasl_tls"])
def secured(request: pytest.FixtureRequest) -> Iterator[ApacheKafka]:
    with ApacheKafka(security=request.param) as kafka:
        yield kafka


def ask(kafka: ApacheKafka, **settings: Any) -> Cluster:
    """Ask for the metadata with the right settings but for these."""
    return describe_cluster("127.0.0.1", kafka.nodes[0].port, kafka.client_settings() | settings)


async def test_a_transaction_goes_through(secured: ApacheKafka) -> None:
    await create(secured, "secured")
    await commit_one_and_abort_one(secured, "secured")
    assert await read(secured, "secured") == [b"committed"]


def test_who_presents_the_right_things_is_answered(secured: ApacheKafka) -> None:
    assert ask(secured).brokers == {1}


def test_an_unknown_authority_is_refused_by_the_client(secured: ApacheKafka) -> None:
    assert ask(secured, ssl_context=ssl.create_default_context()) == NOBODY


def test_a_plaintext_client_is_refused(secured: ApacheKafka) -> None:
    assert ask(secured, security_protocol="PLAINTEXT") == NOBODY


def test_a_client_without_a_user_is_refused_where_one_is_asked_for(secured: ApacheKafka) -> None:
    answered = ask(secured, security_protocol="SSL") != NOBODY
    assert answered == (secured.security == "tls")


def test_a_wrong_password_is_refused_where_one_is_asked_for(secured: ApacheKafka) -> None:
    answered = ask(secured, sasl_plain_password="wrong") != NOBODY
    assert answered == (secured.security == "tls")
