"""One measured run: a backlog is laid while the contender is stopped, then let go and timed to its end."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from loadtest.backlog import Backlog
from loadtest.contenders.contender import Contender
from loadtest.contenders.running import warmed_up
from loadtest.meter import own_broker, usage
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
        Most resident memory since it started; of all its processes together.
    broker_cpu_us
        User and system time of the broker per event meanwhile; None where the harness did not start it.
    event_bytes, prediction_bytes
        Mean size of a record in, with its key, and of a value out.
    records_per_transaction
        Mean over the whole run; None where nothing is transactional.
    """

    events: int
    seconds: float
    cpu_seconds: float
    cpu_us: float
    events_per_second: float
    peak_mib: float
    broker_cpu_us: float | None = None
    event_bytes: float | None = None
    prediction_bytes: float | None = None
    records_per_transaction: float | None = None

    @property
    def events_per_cpu_second(self) -> float:
        """How many events one second of CPU time does."""
        return 1e6 / self.cpu_us if self.cpu_us else 0.0

    def as_json(self) -> dict[str, Any]:
        """Return all figures by name."""
        return asdict(self)


async def measure(
    contender: Contender, bootstrap_servers: str, load: Load, model: Model | None, *, processes: int = 1
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
    async with warmed_up(
        contender, bootstrap_servers, load.warm_up, model, processes=processes
    ) as running:  # 1
        running.suspend()  # 2
        await load.backlog.send(running.cluster.producer, running.job.events)
        before, of_broker, started = running.usage(), _broker_seconds(), time.perf_counter()  # 3
        running.resume()
        await running.wait_for(everything, drain_seconds(events))
        seconds, after, broker = time.perf_counter() - started, running.usage(), _broker_seconds()
        seen = await running.verify(everything)  # 4
        end = await running.cluster.end(running.job.predictions) if contender.exactly_once and seen else 0
    cpu = after.cpu_seconds - before.cpu_seconds
    markers = end - seen.records if seen else 0
    return Measurement(
        events=events,
        seconds=round(seconds, 3),
        cpu_seconds=round(cpu, 3),
        cpu_us=round(cpu / events * 1e6, 3),
        events_per_second=round(events / seconds),
        peak_mib=round(after.peak_resident_bytes / 2**20, 1),
        broker_cpu_us=None if broker is None else round((broker - (of_broker or 0.0)) / events * 1e6, 3),
        event_bytes=round(load.backlog.bytes / events, 1),
        prediction_bytes=round(seen.bytes / seen.records, 1) if seen else None,
        records_per_transaction=round(seen.records / markers, 1) if seen and markers > 0 else None,
    )


def _broker_seconds() -> float | None:
    """Return the CPU time of the broker that the harness has started."""
    process = own_broker()
    return None if process is None else usage(process).cpu_seconds


def drain_seconds(events: int) -> float:
    """Return the deadline for working off a backlog: a minute, and a thousand events a second."""
    return 60 + events / 1_000
