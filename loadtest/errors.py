"""What can go wrong with a measurement."""

from __future__ import annotations

from typing import Final

from aiokafka.errors import KafkaError

from devstack.errors import DevstackError


class LoadTestError(Exception):
    """A contender could not be measured; the message says why."""


FAILURES: Final = (LoadTestError, DevstackError, KafkaError, OSError, TimeoutError)
"""What makes one measurement fail, and not the run: the next contender may fare better."""
