"""The compose check's own looks at a broker."""

from __future__ import annotations

import uuid

import pytest

from devstack.apache_kafka import ApacheKafka
from devstack.compose import checking


@pytest.mark.kafka
async def test_a_topic_that_is_not_there_yet_has_no_records(
    kafka: ApacheKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A consumer that is ended before its own task has begun raised CancelledError, and the check with it."""
    monkeypatch.setitem(checking._CLIENT, "bootstrap_servers", kafka.bootstrap_servers)
    assert [await checking._records(f"nothing-{uuid.uuid4().hex}") for _ in range(5)] == [0] * 5
