"""The faults by name: which there are, what they need, and which are of servers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from tests.faults.breaks.brokers import (
    broker_freeze,
    broker_kill,
    broker_outage,
    broker_stop,
    disk_full,
    leader_change,
)
from tests.faults.breaks.bundles import corrupt_bundle
from tests.faults.breaks.choices import Fault
from tests.faults.breaks.clocks import clock_jump
from tests.faults.breaks.crashes import killed_at, poison
from tests.faults.breaks.network import delay, partition
from tests.faults.breaks.scaling import scale, scale_hung
from tests.faults.breaks.stores import redis_loss, redis_restart, store_full
from tests.faults.breaks.topics import message_bytes
from tests.faults.breaks.zombies import blocked_loop, zombie, zombie_before_begin

CATALOGUE: dict[str, Fault] = {
    **{
        f"kill-{point}": killed_at(point)
        for point in ("before-begin", "after-begin", "after-send", "before-commit", "after-commit")
    },
    "zombie": zombie,
    "zombie-before-begin": zombie_before_begin,
    "scale": scale,
    "scale-hung": scale_hung,
    "broker-stop": broker_stop,
    "broker-kill": broker_kill,
    "broker-outage": broker_outage,
    "broker-freeze": broker_freeze,
    "leader-change": leader_change,
    "partition": partition,
    "delay": delay,
    "disk-full": disk_full,
    "store-full": store_full,
    "redis-restart": redis_restart,
    "redis-loss": redis_loss,
    "message-bytes": message_bytes,
    "blocked-loop": blocked_loop,
    "clock-jump": clock_jump,
    "corrupt-bundle": corrupt_bundle,
    "poison": poison,
}
"""By name."""

NEEDS: Final = {"store-full": "performance", "message-bytes": "inference", "corrupt-bundle": "inference"}
"""Faults of one service: without it at work there is nothing to break."""


def possible(fault: str, services: Collection[str]) -> bool:
    """Whether there is something to break.

    Examples
    --------
    >>> possible("store-full", ("inference",)), possible("scale", ("inference",))
    (False, True)
    """
    return NEEDS.get(fault, next(iter(services))) in services


OF_SERVERS: Final = frozenset(
    {
        "broker-stop",
        "broker-kill",
        "broker-outage",
        "broker-freeze",
        "leader-change",
        "disk-full",
        "redis-restart",
        "redis-loss",
    }
)
"""Those that hurt what all fleets on a cluster share."""

SAMPLE: Final = ("kill-before-commit", "zombie-before-begin", "partition")
"""Those that a short run takes."""
