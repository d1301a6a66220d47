"""How far every service is: what its groups have committed, and what its state says at the end."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Iterator
from typing import Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from shared.pipeline.state import StateReader
from tests.faults.limits import PARTITIONS
from tests.faults.rules.found import Found
from tests.faults.stage import Stage
from tests.faults.traffic import MODEL
from tests.streams import until

_COMMITS_WITHIN_MS: Final = 20_000

Place = tuple[str, str, int]
"""Group, without its prefix, topic and partition."""


def places(stage: Stage) -> Iterator[Place]:
    """Yield every partition that somebody must move through while the traffic flows."""
    topics, services = stage.topics, stage.services
    judged = "performance" in services
    read = {
        "inference": (topics.events,),
        "shadow": (topics.events,),
        "shadow-labels": (topics.labelled,) if judged else (),
        "drift": (topics.events, topics.predictions),
        "performance-routing": (topics.predictions, topics.labels, topics.outcomes),
        "performance": (topics.performance_log,),
        "alerting": (topics.reports,),
    }
    for group, names in read.items():
        if group.partition("-")[0] in services:
            yield from ((group, name, number) for name in names for number in range(PARTITIONS))
    if "drift" in services:
        yield "drift-merge", topics.drift_counts, zlib.crc32(MODEL.encode()) % PARTITIONS


async def positions(stage: Stage) -> dict[Place, int]:
    """Return what the services have told their groups; nothing while nobody answers."""
    try:
        async with asyncio.timeout(10):
            return await _committed(stage)
    except Exception as error:  # whatever the broken broker makes of it, the answer is "not yet"
        stage.journal.note("positions unknown", error=repr(error))
        return {}


async def _committed(stage: Stage) -> dict[Place, int]:
    wanted = list(places(stage))
    admin = AIOKafkaAdminClient(**stage.client)
    await admin.start()
    found: dict[Place, int] = {}
    try:
        for group in dict.fromkeys(group for group, _, _ in wanted):
            offsets = await admin.list_consumer_group_offsets(f"{stage.topics.prefix}driftline.{group}")
            found |= {(group, tp.topic, tp.partition): meta.offset for tp, meta in offsets.items()}
    finally:
        await admin.close()
    return {place: found[place] for place in wanted if place in found}


async def moving_beyond(stage: Stage, before: dict[Place, int], seconds: float) -> None:
    """Wait until every partition of every service has been committed beyond these positions.

    Raises
    ------
    AssertionError
        Naming those that have not.
    """
    still: dict[Place, int | None] = {}

    async def moved() -> bool:
        now = await positions(stage)
        still.clear()
        still.update({p: now.get(p) for p in places(stage) if now.get(p, -1) <= before.get(p, 0)})
        return not still

    try:
        await until(moved, seconds=seconds, every=0.5)
    except AssertionError:
        where = ", ".join(f"{g} {t}[{p}] at {at}" for (g, t, p), at in still.items())
        raise AssertionError(f"within {seconds:.0f} s these did not move: {where}") from None


async def inference_positions(stage: Stage) -> dict[int, int]:
    """Return how far the inference service is, by partition of the events."""
    found = await positions(stage)
    return {number: at for (group, _, number), at in found.items() if group == "inference"}


async def groups_at_the_end(stage: Stage, found: Found) -> list[str]:
    """Every group has been told that everything has been read.

    Where transactions end, markers take offsets that nobody reads: being at the end means being
    anywhere behind the last record.
    """
    told = await positions(stage)
    ends = _ends(stage, found, time.time() * 1000)
    return [
        f"group {group} is at {told.get(place, 0)} of {topic}[{partition}], whose records end at {end}"
        for place, end in ends.items()
        for group, topic, partition in [place]
        if told.get(place, 0) < end
    ]


async def everybody_at_the_end(stage: Stage, found: Found) -> list[str]:
    """State and group of every service agree that everything has been read."""
    problems = await groups_at_the_end(stage, found)
    told = await positions(stage)
    for place, end in _ends(stage, found, time.time() * 1000).items():
        group, topic, partition = place
        if group == "alerting":
            continue  # its state has no position
        reader = StateReader(stage.client, stage.topics.state(group))
        snapshot = await reader.last(TopicPartition(topic, partition))
        held = snapshot.next_offset if snapshot is not None else 0
        problems += state_problems(place, told.get(place, 0), held, end)
    return problems


def state_problems(place: Place, at: int, held: int, end: int) -> list[str]:
    """Return what is wrong with where a state ends, beside its group's position and the records' end.

    Examples
    --------
    >>> state_problems(("drift", "events", 0), 9, 8, 8)
    ['group drift is at 9 of events[0], beyond its state at 8']
    >>> state_problems(("drift", "events", 0), 8, 7, 8)
    ['state of drift is at 7 of events[0], records end at 8']
    """
    group, topic, partition = place
    if held < end:
        return [f"state of {group} is at {held} of {topic}[{partition}], records end at {end}"]
    if at > held:
        return [f"group {group} is at {at} of {topic}[{partition}], beyond its state at {held}"]
    return []


def _ends(stage: Stage, found: Found, now: float) -> dict[Place, int]:
    """Return where the records of every place end that the witness has read."""
    ends: dict[Place, int] = {}
    for group, topic, partition in places(stage):
        if topic not in found.records:
            continue
        records = found.records[topic][partition]
        if group == "alerting":  # heartbeats never end, and Faust commits the last one read, not the next
            records = [record for record in records if record.timestamp < now - _COMMITS_WITHIN_MS][:-1]
        ends[group, topic, partition] = records[-1].offset + 1 if records else 0
    return ends
