"""The join: CPU per prediction and label with many open predictions, memory, and a new replica's recovery."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from devstack.part import Part
from loadtest.contenders.joins import DriftlineJoin, JoinStage, a_stage, faust, quix
from loadtest.errors import FAILURES, LoadTestError
from loadtest.joining import HORIZON_MS, JoinStream, labels, labels_of_the_oldest, predictions, send
from loadtest.meter import Usage, memory, usage
from loadtest.models import Model, make_model
from loadtest.peers.environments import install
from loadtest.report import Report
from loadtest.summary import markdown

SETTLE_SECONDS = 5.0
ASK_SECONDS = 1.0
"""Driftline answers with a page of metrics, which is work too: often asked, a tenth of a core."""
HEARD = 0.98
"""Of a peer's labels so many must be joined: it may miss some, and would be waited for in vain."""


@dataclass(frozen=True, slots=True)
class PerformanceOptions:
    """What to measure.

    Attributes
    ----------
    open_events
        Open predictions in Driftline's store; peers, which are slower, hold ``peer_events``.
    pairs
        Predictions and labels that are measured; peers get ``peer_pairs``.
    recovery_events
        Open predictions that a new replica recovers.
    only
        Parts of the names of contenders; empty for all.
    """

    open_events: int = 10_000_000
    pairs: int = 500_000
    peer_events: int = 50_000
    peer_pairs: int = 20_000
    recovery_events: int = 1_000_000
    partitions: int = 6
    only: tuple[str, ...] = ()


QUICK = PerformanceOptions(
    open_events=100_000, pairs=10_000, peer_events=5_000, peer_pairs=2_000, recovery_events=50_000
)


@dataclass(frozen=True, slots=True)
class Joined:
    """What one contender gave.

    Attributes
    ----------
    cpu_us
        CPU of its process per prediction and label, microseconds.
    anonymous_mib, mapped_mib, peak_mib
        Memory of its own and pages of files that it has mapped, after the pairs; the most of both together
        since its start.
    fill_cpu_us, fill_seconds
        What it took to fill the store with the open predictions, by the contender itself.
    recovery_seconds
        A new replica without a disk: from the start of its process until all partitions are open.
    """

    name: str
    open_events: int
    pairs: int | None = None
    cpu_us: float | None = None
    pairs_per_second: int | None = None
    anonymous_mib: float | None = None
    mapped_mib: float | None = None
    peak_mib: float | None = None
    fill_cpu_us: float | None = None
    fill_seconds: float | None = None
    recovery_seconds: float | None = None


Check = Callable[[], Awaitable[bool]]
Measure = Callable[[JoinStage, Model, PerformanceOptions], Awaitable[Joined]]


async def run(bootstrap_servers: str, options: PerformanceOptions) -> Report:
    """Measure Driftline and the peers one after the other on one broker."""
    report = Report("performance", asdict(options))
    contenders: dict[str, Measure] = {
        "Driftline": _driftline, "Driftline, recovery": _recovery, "Quix Streams, join_asof": _quix,
        "Faust, table": _faust,
    }  # fmt: skip
    found: list[Joined] = []
    with tempfile.TemporaryDirectory(prefix="driftline-loadtest-", ignore_cleanup_errors=True) as folder:
        model = await asyncio.to_thread(make_model, "logistic", Path(folder))
        for name, measure in contenders.items():
            if options.only and not any(part.lower() in name.lower() for part in options.only):
                continue
            try:
                async with a_stage(bootstrap_servers, options.partitions) as stage:
                    found.append(replace(await measure(stage, model, options), name=name))
            except FAILURES as error:
                report.failures.append(f"{name}: {error or repr(error)}")
    report.figures["contenders"] = [asdict(one) for one in found]
    report.text.append(_table(found))
    return report


def _table(found: list[Joined]) -> str:
    header = ["", "open", "pairs", "CPU us per pair", "pairs/s", "own MiB", "mapped MiB", "peak MiB",
              "fill s", "CPU us per fill", "recovery s"]  # fmt: skip
    rows = [
        [one.name, f"{one.open_events:,}", _whole(one.pairs), one.cpu_us, _whole(one.pairs_per_second),
         one.anonymous_mib, one.mapped_mib, one.peak_mib, one.fill_seconds, one.fill_cpu_us,
         one.recovery_seconds]
        for one in found
    ]  # fmt: skip
    return markdown(header, rows)


def _whole(number: int | None) -> str | None:
    return None if number is None else f"{number:,}"


async def _fill(stage: JoinStage, part: Part, stream: JoinStream, joined: Check) -> Joined:
    """Let the contender store the open predictions itself, from Kafka."""
    assert part.pid is not None
    count = stream.open_events
    before, began = usage(part.pid), time.perf_counter()
    await send(
        stage.cluster.producer, stage.names.predictions, stage.partitions, predictions(stream, 0, count)
    )
    await _until(stage, part, joined, 180 + count / 1_000, f"{count:,} predictions to be stored")
    seconds, after = time.perf_counter() - began, usage(part.pid)
    return Joined("", count, fill_cpu_us=_us(before, after, count), fill_seconds=round(seconds, 1))


async def _pairs(
    stage: JoinStage,
    part: Part,
    stream: JoinStream,
    first: int,
    pairs: int,
    joined: Check,
) -> Joined:
    """Stop the process, lay predictions and labels, let it go, and read what it used."""
    cluster, names = stage.cluster, stage.names
    assert part.pid is not None
    await asyncio.sleep(SETTLE_SECONDS)  # commits and reports of what came before go out
    part.suspend()
    await send(cluster.producer, names.predictions, stage.partitions, predictions(stream, first, pairs))
    await send(cluster.producer, names.labels, stage.partitions, labels(stream, first, pairs))
    before, began = usage(part.pid), time.perf_counter()
    part.resume()
    await _until(stage, part, joined, 180 + pairs / 1_000, f"{pairs:,} labels to be joined")
    seconds, after = time.perf_counter() - began, usage(part.pid)
    kept = memory(part.pid)
    return Joined(
        "",
        stream.open_events,
        pairs,
        cpu_us=_us(before, after, pairs),
        pairs_per_second=int(pairs / seconds),
        anonymous_mib=_mib(kept.anonymous_bytes),
        mapped_mib=_mib(kept.mapped_bytes),
        peak_mib=_mib(after.peak_resident_bytes),
    )


async def _until(stage: JoinStage, part: Part, condition: Check, seconds: float, what: str) -> None:
    async def holds() -> bool:
        if not part.running:
            raise LoadTestError("the process ended by itself")
        return await condition()

    try:
        await stage.cluster.wait(holds, seconds, what)
    except LoadTestError as error:
        raise LoadTestError(f"{error}{part.explain()}") from error


def _us(before: Usage, after: Usage, count: int) -> float:
    return round((after.cpu_seconds - before.cpu_seconds) / count * 1e6, 2)


def _mib(size: int) -> float:
    return round(size / 2**20, 1)


async def _driftline(stage: JoinStage, model: Model, options: PerformanceOptions) -> Joined:
    """Fill the store, label the oldest, which end while the pairs are measured, then measure the pairs."""
    service = DriftlineJoin(stage, model)
    stream = JoinStream.of("loadtest-logistic", options.open_events, HORIZON_MS, stage.partitions)
    count, pairs = options.open_events, options.pairs

    def joined(answers: int, known: int) -> Check:
        async def holds() -> bool:
            await asyncio.sleep(ASK_SECONDS)
            seen = await asyncio.to_thread(service.joined)
            return seen is not None and seen[0] >= answers and seen[1] >= known

        return holds

    part = service.part("driftline")
    part.launch()
    try:
        await _until(stage, part, lambda: asyncio.to_thread(service.ready), 90, "the service to be ready")
        filled = await _fill(stage, part, stream, joined(count, 0))
        oldest = labels_of_the_oldest(stream, pairs)
        await send(stage.cluster.producer, stage.names.labels, stage.partitions, oldest)
        await _until(stage, part, joined(count, pairs), 180 + pairs / 1_000, "the oldest to be labelled")
        given = await _pairs(stage, part, stream, count, pairs, joined(count + pairs, 2 * pairs))
        opened = await asyncio.to_thread(service.open_events)
        return replace(
            given, open_events=opened, fill_cpu_us=filled.fill_cpu_us, fill_seconds=filled.fill_seconds
        )
    finally:
        part.stop()


async def _recovery(stage: JoinStage, model: Model, options: PerformanceOptions) -> Joined:
    """Fill a store, stop the process, take its disk away, and see how long another one takes.

    It leaves the group: after a kill the group would first wait for its session to end, which is no work.
    """
    service = DriftlineJoin(stage, model)
    stream = JoinStream.of("loadtest-logistic", options.recovery_events, HORIZON_MS, stage.partitions)
    count = options.recovery_events

    async def joined() -> bool:
        await asyncio.sleep(ASK_SECONDS)
        seen = await asyncio.to_thread(service.joined)
        return seen is not None and seen[0] >= count

    part = service.part("first")
    part.launch()
    try:
        filled = await _fill(stage, part, stream, joined)
        await asyncio.sleep(SETTLE_SECONDS)
        part.stop()
        shutil.rmtree(service.disk)
        part = service.part("replica")
        began = time.perf_counter()
        part.launch()
        await _until(
            stage, part, lambda: asyncio.to_thread(service.ready), 600 + count / 1_000, "a new replica"
        )
        seconds = time.perf_counter() - began
        assert part.pid is not None
        kept = memory(part.pid)
        return replace(
            filled,
            anonymous_mib=_mib(kept.anonymous_bytes),
            mapped_mib=_mib(kept.mapped_bytes),
            peak_mib=_mib(usage(part.pid).peak_resident_bytes),
            recovery_seconds=round(seconds, 1),
        )
    finally:
        part.stop()


async def _quix(stage: JoinStage, model: Model, options: PerformanceOptions) -> Joined:
    await asyncio.to_thread(install, "quixstreams")
    return await _peer(stage, quix(stage), options)


async def _faust(stage: JoinStage, model: Model, options: PerformanceOptions) -> Joined:
    await asyncio.to_thread(install, "faust")
    return await _peer(stage, faust(stage), options)


async def _peer(stage: JoinStage, part: Part, options: PerformanceOptions) -> Joined:
    """Measure a peer: it has stored what its group has committed, and joined what it has written."""
    stream = JoinStream.of("peer", options.peer_events, HORIZON_MS, stage.partitions)
    count, pairs, cluster, names = options.peer_events, options.peer_pairs, stage.cluster, stage.names

    async def stored() -> bool:
        return await cluster.committed(f"{names.prefix}peer", names.predictions) >= count

    async def written() -> bool:
        return await cluster.end(names.labelled) >= HEARD * pairs

    part.launch()
    try:
        filled = await _fill(stage, part, stream, stored)
        given = await _pairs(stage, part, stream, count, pairs, written)
        return replace(given, fill_cpu_us=filled.fill_cpu_us, fill_seconds=filled.fill_seconds)
    finally:
        part.stop()
