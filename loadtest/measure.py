"""One measured run: a backlog is laid while the contender is stopped, then let go and timed to its end."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from loadtest.backlog import Backlog
from loadtest.contenders.contender import Contender
from loadtest.contenders.running import warmed_up
from loadtest.models import Model


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
    4. A read_committed reader counts the output: one record per event, or the figure is void.

    Raises
    ------
    LoadTestError
        It did not start, did not finish in time, or its output is not one record per event.
    """
    events = load.backlog.events
    everything = load.warm_up.events + events
    async with warmed_up(contender, bootstrap_servers, load.warm_up, model) as running:  # 1
        running.part.suspend()  # 2
        await load.backlog.send(running.cluster.producer, running.job.events)
        before, started = running.usage(), time.perf_counter()  # 3
        running.part.resume()
        await running.wait_for(everything, drain_seconds(events))
        seconds, after = time.perf_counter() - started, running.usage()
        await running.verify(everything)  # 4
    cpu = after.cpu_seconds - before.cpu_seconds
    return Measurement(
        events=events,
        seconds=round(seconds, 3),
        cpu_seconds=round(cpu, 3),
        cpu_us=round(cpu / events * 1e6, 3),
        events_per_second=round(events / seconds),
        peak_mib=round(after.peak_resident_bytes / 2**20, 1),
    )


def drain_seconds(events: int) -> float:
    """Return the deadline for working off a backlog: a minute, and a thousand events a second."""
    return 60 + events / 1_000
