"""One measured run: a backlog is laid while the contender is stopped, then let go and timed to its end."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass
from typing import Any

from devstack.part import Part
from loadtest.backlog import Backlog
from loadtest.cluster import Cluster
from loadtest.contenders.contender import Contender, Job
from loadtest.contenders.process import a_job, running
from loadtest.errors import LoadTestError
from loadtest.meter import usage
from loadtest.models import Model

START_SECONDS = 90.0
SETTLE_SECONDS = 1.0
VERIFY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """The same for every contender of a run.

    Attributes
    ----------
    warm_up
        Scored before the measurement: imports, connections, caches and first batches are done.
    backlog
        What is measured.
    """

    warm_up: Backlog
    backlog: Backlog

    @property
    def partitions(self) -> int:
        """Of every topic."""
        return len(self.backlog.partitions)


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one run of one contender gave.

    Attributes
    ----------
    cpu_us
        User and system time of its process per event, microseconds.
    events_per_second
        By the clock on the wall, with the broker on the same machine.
    peak_mib
        Most resident memory since it started.
    """

    events: int
    seconds: float
    cpu_seconds: float
    cpu_us: float
    events_per_second: float
    peak_mib: float

    def as_json(self) -> dict[str, Any]:
        """Return all figures by name."""
        return asdict(self)


async def measure(
    contender: Contender, bootstrap_servers: str, load: Load, model: Model | None
) -> Measurement:
    """Run one contender over the load and return what it used.

    1. Its topics are made, the warm-up is produced, the process starts and works it off.
    2. It is stopped (SIGSTOP) while the backlog is produced: that costs it no CPU.
    3. Its CPU time is read, it is continued (SIGCONT), and read again when all output is durable.
    4. A read_committed reader counts the output: every event exactly once, or the figure is void.

    Raises
    ------
    LoadTestError
        It did not start, did not finish in time, or its output is not one record per event.
    """
    async with Cluster(bootstrap_servers) as cluster:
        with a_job(bootstrap_servers, model) as job:
            async with cluster.topics(job.topics(contender.topics, load.partitions)):
                await load.warm_up.send(cluster.producer, job.events)
                with running(contender, job) as part:
                    measurement = await _drain(contender, cluster, load, job, part)
                await _verify(contender, cluster, load, job)
    return measurement


async def _drain(contender: Contender, cluster: Cluster, load: Load, job: Job, part: Part) -> Measurement:
    warm, events = load.warm_up.events, load.backlog.events
    await wait_for(contender, cluster, job, part, warm, START_SECONDS)
    await asyncio.sleep(SETTLE_SECONDS)  # commits and reports of the warm-up are over
    part.suspend()
    await load.backlog.send(cluster.producer, job.events)
    assert part.pid is not None
    before, started = usage(part.pid), time.perf_counter()
    part.resume()
    await wait_for(contender, cluster, job, part, warm + events, 60 + events / 1_000)
    seconds, after = time.perf_counter() - started, usage(part.pid)
    cpu = after.cpu_seconds - before.cpu_seconds
    return Measurement(
        events=events,
        seconds=round(seconds, 3),
        cpu_seconds=round(cpu, 3),
        cpu_us=round(cpu / events * 1e6, 3),
        events_per_second=round(events / seconds),
        peak_mib=round(after.peak_resident_bytes / 2**20, 1),
    )


async def progress(contender: Contender, cluster: Cluster, job: Job) -> int:
    """Return how many events a contender has done."""
    if contender.progress == "committed":
        return await cluster.committed(job.group, job.events)
    return await cluster.end(job.predictions)


async def wait_for(
    contender: Contender, cluster: Cluster, job: Job, part: Part, events: int, seconds: float
) -> None:
    """Wait until a contender has done so many events.

    Raises
    ------
    LoadTestError
        Its process ended, or ``seconds`` passed.
    """

    async def done() -> bool:
        if not part.running:
            raise LoadTestError("the process ended by itself")
        return await progress(contender, cluster, job) >= events

    try:
        await cluster.wait(done, seconds, f"{events:,} events to be done")
    except LoadTestError as error:
        raise LoadTestError(f"{contender.name}: {error}{part.explain()}") from error


async def _verify(contender: Contender, cluster: Cluster, load: Load, job: Job) -> None:
    expected = load.warm_up.events + load.backlog.events
    visible = await cluster.visible(job.predictions, expected, VERIFY_SECONDS)
    if visible != expected:
        raise LoadTestError(f"{contender.name}: {expected:,} events in, but {visible:,} predictions out")
