"""A long backlog: whether throughput and memory stay flat from its beginning to its end."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from loadtest.backlog import Backlog
from loadtest.contenders.contender import Contender
from loadtest.contenders.driftline import DELIVERIES, driftline
from loadtest.contenders.running import Running, warmed_up
from loadtest.errors import FAILURES, LoadTestError
from loadtest.events import EventSource
from loadtest.measure import Load, drain_seconds
from loadtest.models import Model, make_model
from loadtest.report import Report
from loadtest.summary import markdown

WARM_UP = 20_000
SAMPLE_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class BacklogOptions:
    """What to measure: the trees, with each guarantee in turn.

    Attributes
    ----------
    slice_seconds
        Throughput is given for slices of this length.
    """

    events: int = 1_000_000
    slice_seconds: float = 2.0
    partitions: int = 6
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Sample:
    """How far a contender was at one moment.

    Attributes
    ----------
    seconds
        Since the backlog was let go.
    events
        Done of the backlog.
    """

    seconds: float
    events: int
    cpu_seconds: float
    resident_mib: float


async def run(bootstrap_servers: str, options: BacklogOptions) -> Report:
    """Return throughput by slice and memory over time for both guarantees."""
    report = Report("backlog", asdict(options))
    source = EventSource(options.seed)
    load = Load(
        Backlog.encode(source, 0, WARM_UP, options.partitions),
        Backlog.encode(source, WARM_UP, options.events, options.partitions),
    )
    with tempfile.TemporaryDirectory(prefix="driftline-loadtest-models-") as folder:
        model = make_model("trees", Path(folder))
        for delivery in DELIVERIES:
            contender = driftline("trees", delivery)
            try:
                samples = await _watch(contender, bootstrap_servers, load, model)
            except FAILURES as error:
                report.failures.append(f"{contender.name}: {error or repr(error)}")
                print(f"FAILED {report.failures[-1]}", flush=True)
                continue
            slices = sliced(samples, options.slice_seconds)
            report.figures[contender.name] = {"samples": [asdict(s) for s in samples], "slices": slices}
            report.text.append(_table(contender, slices))
    return report


async def _watch(contender: Contender, bootstrap_servers: str, load: Load, model: Model) -> list[Sample]:
    async with warmed_up(contender, bootstrap_servers, load.warm_up, model) as running:
        running.part.suspend()
        await load.backlog.send(running.cluster.producer, running.job.events)
        running.part.resume()
        samples = await _samples(running, load)
        await running.verify(load.warm_up.events + load.backlog.events)
    return samples


async def _samples(running: Running, load: Load) -> list[Sample]:
    """Return one sample every 0.2 s until the backlog is done."""
    samples: list[Sample] = []
    started = time.perf_counter()
    before = running.usage().cpu_seconds
    while not samples or samples[-1].events < load.backlog.events:
        done = await running.progress() - load.warm_up.events
        seconds, used = time.perf_counter() - started, running.usage()
        samples.append(Sample(seconds, done, used.cpu_seconds - before, used.resident_bytes / 2**20))
        if seconds > drain_seconds(load.backlog.events):
            raise LoadTestError(f"{done:,} events after {seconds:.0f} s{running.part.explain()}")
        await asyncio.sleep(SAMPLE_SECONDS)
    return samples


def sliced(samples: Sequence[Sample], seconds: float) -> list[dict[str, Any]]:
    """Return events per second, CPU per event and memory of each slice; what is left over is the last.

    A remainder shorter than half a slice belongs to the slice before it.

    Examples
    --------
    >>> samples = [Sample(s / 2, s * 50, s * 0.4, 100 + s) for s in range(10)]
    >>> [(s["until"], s["events_per_second"], s["cpu_us"]) for s in sliced(samples, 2.0)]
    [(2.0, 100, 8000.0), (4.5, 100, 8000.0)]
    """
    slices: list[dict[str, Any]] = []
    first, last = samples[0], samples[-1]
    for sample in samples[1:]:
        full = sample.seconds - first.seconds >= seconds
        if sample is not last and (not full or last.seconds - sample.seconds < seconds / 2):
            continue
        span, events = sample.seconds - first.seconds, sample.events - first.events
        slices.append(
            {
                "until": round(sample.seconds, 2),
                "events_per_second": round(events / span),
                "cpu_us": round((sample.cpu_seconds - first.cpu_seconds) / max(events, 1) * 1e6, 2),
                "resident_mib": round(sample.resident_mib, 1),
            }
        )
        first = sample
    return slices


def _table(contender: Contender, slices: Sequence[dict[str, Any]]) -> str:
    rows = [
        [f"to {s['until']:.1f} s", f"{s['events_per_second']:,}", s["cpu_us"], s["resident_mib"]]
        for s in slices
    ]
    rates = [s["events_per_second"] for s in slices]
    flat = f"slowest slice at {min(rates) / max(rates):.0%} of the fastest"
    return f"{contender.name}: {flat}\n\n" + markdown(
        ["slice", "events/s", "CPU us/event", "resident MiB"], rows
    )
