"""The real servers that tests share, each started when the first test asks for it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from devstack.apache_kafka import ApacheKafka
from devstack.debian import PACKAGES, find_program
from devstack.errors import DevstackError
from devstack.redis_server import RedisServer
from tests.workers import ByFile, printable

# A test's broker lives for minutes: compiled quickly rather than well, it takes half the processor.
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Divide the tests among the workers by file."""
    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Let every report get through to the controller."""
    return printable((yield))


@pytest.fixture(scope="session")
def kafka() -> Iterator[ApacheKafka]:
    """One node of Apache Kafka for all tests of a worker: never kill or suspend this one."""
    with ApacheKafka() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One Redis for all tests of a worker: never kill or suspend this one."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def topic_prefix() -> str:
    """Return a prefix for topics, groups and transactional ids that no other test uses."""
    return f"t{secrets.token_hex(4)}-"


@pytest.fixture(scope="session")
def monitoring() -> dict[str, str]:
    """Return the paths of prometheus, promtool, prometheus-alertmanager and amtool; skip without them."""
    try:
        return {name: find_program(name) for name in PACKAGES}
    except DevstackError as error:
        pytest.skip(str(error))
