"""Latency at a fixed rate, from when an event was due to when its prediction is visible to a reader.

The reader is read_committed, so an exactly-once prediction counts when its transaction has committed.
Events are due by a schedule fixed in advance (see ``loadtest/generator.py``): no coordinated omission.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aiokafka import TopicPartition
from hdrh.histogram import HdrHistogram

from devstack.part import Part
from loadtest.backlog import Backlog
from loadtest.contenders.catalogue import select
from loadtest.contenders.contender import own_path
from loadtest.contenders.echo import COLUMN_ECHO
from loadtest.contenders.running import Running, warmed_up
from loadtest.errors import FAILURES, LoadTestError
from loadtest.events import EventSource, event_number
from loadtest.generator import Schedule, Sent
from loadtest.models import MODELS, Model, ModelName, make_model
from loadtest.report import Report
from loadtest.summary import markdown
from shared.kafka.consumer import ColumnConsumer

WARM_UP = 5_000
PERCENTILES = (50.0, 90.0, 99.0, 99.9)
LATE_MS = 5.0
"""A generator whose 99th percentile of lag is above this did not keep its schedule."""
GRACE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyOptions:
    """What to measure.

    Attributes
    ----------
    rate
        Events per second.
    ramp_seconds
        At the same rate, before what is counted.
    """

    rate: float = 2_000
    seconds: float = 30.0
    ramp_seconds: float = 5.0
    partitions: int = 6
    rounds: int = 1
    seed: int = 1
    only: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Latency:
    """What one run gave, in milliseconds.

    Attributes
    ----------
    percentiles
        By name, ``p50`` to ``p99.9``, and ``max``.
    generator_lag_p99_ms, generator_lag_max_ms
        Part of the latencies: how late the generator itself was.
    cpu_us
        Of the contender per event at this rate.
    """

    events: int
    percentiles: dict[str, float]
    generator_lag_p99_ms: float
    generator_lag_max_ms: float
    cpu_us: float
    peak_mib: float

    @property
    def on_schedule(self) -> bool:
        """Whether the generator kept its schedule."""
        return self.generator_lag_p99_ms <= LATE_MS


Arrivals = list[tuple[float, Sequence[bytes | None]]]


async def run(bootstrap_servers: str, options: LatencyOptions) -> Report:
    """Return latencies of the echo floor and of every combination of model and guarantee."""
    report = Report("latency", asdict(options))
    contenders = [c for c in select(options.only) if c.kind != "peer" and c.name != COLUMN_ECHO]
    warm_up = Backlog.encode(EventSource(options.seed), 0, WARM_UP, options.partitions)
    found: dict[str, list[Latency]] = {contender.name: [] for contender in contenders}
    with tempfile.TemporaryDirectory(prefix="driftline-loadtest-models-") as folder:
        models: dict[ModelName, Model] = {name: make_model(name, Path(folder)) for name in MODELS}
        for number in range(1, options.rounds + 1):
            for contender in contenders:
                model = models[contender.model] if contender.model is not None else None
                try:
                    async with warmed_up(contender, bootstrap_servers, warm_up, model) as running:
                        latency = await _one(running, options)
                except FAILURES as error:
                    report.failures.append(f"round {number}: {contender.name}: {error or repr(error)}")
                    print(f"FAILED {report.failures[-1]}", flush=True)
                    continue
                found[contender.name].append(latency)
                print(f"round {number}: {contender.name:<36} {_brief(latency)}", flush=True)
    lay_out(report, found)
    return report


async def _one(running: Running, options: LatencyOptions) -> Latency:
    schedule = Schedule(
        bootstrap_servers=running.job.bootstrap_servers,
        topic=running.job.events,
        partitions=options.partitions,
        first=WARM_UP,
        count=int(options.rate * (options.ramp_seconds + options.seconds)),
        rate=options.rate,
        seed=options.seed,
    )
    async with _reader(running, options.partitions) as reader:
        before = running.usage()
        answer = running.job.folder / "generator.json"
        command = [sys.executable, "-m", "loadtest.generator", json.dumps(asdict(schedule)), str(answer)]
        generator = Part("generator", command, running.job.folder, environment=own_path())
        generator.launch()
        try:
            arrivals = await _read(reader, schedule, running, generator)
            if not generator.join(GRACE_SECONDS) or not answer.exists():
                raise LoadTestError(f"the generator did not end well{generator.explain()}")
        finally:
            generator.stop()
        after = running.usage()
    sent = Sent(**json.loads(answer.read_text()))
    histogram = latencies(arrivals, schedule, sent.start, int(options.rate * options.ramp_seconds))
    return Latency(
        events=histogram.get_total_count(),
        percentiles={f"p{p:g}": round(histogram.get_value_at_percentile(p) / 1000, 2) for p in PERCENTILES}
        | {"max": round(histogram.get_max_value() / 1000, 2)},
        generator_lag_p99_ms=round(sent.lag_p99_ms, 2),
        generator_lag_max_ms=round(sent.lag_max_ms, 2),
        cpu_us=round((after.cpu_seconds - before.cpu_seconds) / schedule.count * 1e6, 2),
        peak_mib=round(after.peak_resident_bytes / 2**20, 1),
    )


@asynccontextmanager
async def _reader(running: Running, partitions: int) -> AsyncIterator[ColumnConsumer]:
    """Give a read_committed consumer that stands at the end of the predictions."""
    consumer = ColumnConsumer(
        bootstrap_servers=running.job.bootstrap_servers, isolation_level="read_committed"
    )
    async with consumer:
        everything = [TopicPartition(running.job.predictions, number) for number in range(partitions)]
        consumer.assign(everything)
        await consumer.seek_to_end(*everything)
        for partition in everything:
            await consumer.position(partition)
        yield consumer


async def _read(reader: ColumnConsumer, schedule: Schedule, running: Running, generator: Part) -> Arrivals:
    """Return the values of all predictions with the moment each became visible."""
    arrivals: Arrivals = []
    count = 0
    deadline = time.monotonic() + schedule.count / schedule.rate + GRACE_SECONDS
    while count < schedule.count:
        for part in await reader.getcolumns(reader.assignment(), timeout=0.5, max_records=100_000):
            arrivals.append((time.monotonic(), part.values))
            count += len(part)
        if time.monotonic() > deadline or not running.part.running:
            raise LoadTestError(
                f"{count:,} predictions of {schedule.count:,} events became visible"
                f"{running.part.explain()}{generator.explain()}"
            )
    return arrivals


def latencies(arrivals: Arrivals, schedule: Schedule, start: float, ramp: int) -> HdrHistogram:
    """Return the microseconds from due to visible, without the first ``ramp`` events.

    Raises
    ------
    LoadTestError
        An event was answered twice.
    """
    histogram = HdrHistogram(1, 3_600_000_000, 3)
    seen: set[int] = set()
    for moment, values in arrivals:
        for value in values:
            position = event_number(value or b"") - schedule.first
            if position in seen:
                raise LoadTestError(f"event {position} was answered twice")
            seen.add(position)
            if position >= ramp:
                histogram.record_value(max(1, int((moment - start - schedule.due(position)) * 1e6)))
    return histogram


def lay_out(report: Report, found: dict[str, list[Latency]]) -> None:
    """Put the runs into the report: every run in the figures, and a row each in the table."""
    columns = [*(f"p{p:g}" for p in PERCENTILES), "max"]
    rows: list[list[object]] = []
    for name, runs in found.items():
        report.figures[name] = [asdict(latency) for latency in runs]
        for latency in runs:
            rows.append(
                [
                    name,
                    *(f"{latency.percentiles[column]:.1f}" for column in columns),
                    f"{latency.generator_lag_p99_ms:.1f}",
                    f"{latency.cpu_us:.1f}",
                ]
            )
            if not latency.on_schedule:
                report.failures.append(
                    f"{name}: the generator was late (p99 {latency.generator_lag_p99_ms:.1f} ms), "
                    "so the machine was too busy for this rate and the latencies are not the contender's"
                )
    header = ["contender", *(f"{column} ms" for column in columns), "generator lag p99 ms", "CPU us/event"]
    report.text.append(markdown(header, rows))


def _brief(latency: Latency) -> Any:
    return "  ".join(f"{name} {value:.1f}" for name, value in latency.percentiles.items()) + " ms"
