"""The join: CPU per prediction and label with many open predictions, memory, and a new replica's recovery."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from devstack.part import Part
from devstack.ports import Ports
from loadtest.cluster import Cluster
from loadtest.contenders.contender import own_path
from loadtest.contenders.peers import PROGRAMS
from loadtest.errors import FAILURES, LoadTestError
from loadtest.joining import JoinStream, labels, predictions, send
from loadtest.meter import usage
from loadtest.models import Model, make_model
from loadtest.peers.environments import environment, install, python_of
from loadtest.report import Report
from loadtest.summary import markdown
from shared.topics import TopicNames, TopicSpec, topic_specs

HORIZON_MS = 14 * 86_400_000
SETTLE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class PerformanceOptions:
    """What to measure.

    Attributes
    ----------
    open_events
        Open predictions in Driftline's store; peers, which are slower, hold ``peer_events``.
    pairs
        Predictions and labels that are measured; peers get ``peer_pairs``.
    """

    open_events: int = 10_000_000
    pairs: int = 500_000
    peer_events: int = 50_000
    peer_pairs: int = 20_000
    partitions: int = 6


@dataclass(frozen=True, slots=True)
class Joined:
    """What one contender gave.

    Attributes
    ----------
    cpu_us
        CPU of its process per prediction and label, microseconds.
    resident_mib, peak_mib
        Memory after the pairs, and the most since its start.
    recovery_seconds
        A new replica without a disk: from its start until it is ready. Driftline only.
    """

    name: str
    open_events: int
    pairs: int
    cpu_us: float
    pairs_per_second: float
    resident_mib: float
    peak_mib: float
    recovery_seconds: float | None = None


@dataclass(slots=True)
class _Stage:
    """Topics, processes and places of one contender's run."""

    cluster: Cluster
    names: TopicNames
    folder: Path
    ports: Ports
    options: PerformanceOptions

    @property
    def partitions(self) -> int:
        return self.options.partitions

    def part(self, name: str, command: list[str], settings: dict[str, str]) -> Part:
        return Part(name, command, self.folder, scratch=self.folder, environment=settings)


async def run(bootstrap_servers: str, options: PerformanceOptions) -> Report:
    """Measure Driftline and the peers one after the other on one broker."""
    report = Report("performance", asdict(options))
    with tempfile.TemporaryDirectory(prefix="driftline-loadtest-", ignore_cleanup_errors=True) as folder:
        model = await asyncio.to_thread(make_model, "logistic", Path(folder))
        found: list[Joined] = []
        for name, measure in (("Driftline", _driftline), ("Quix Streams", _quix), ("Faust", _faust)):
            try:
                async with _stage(bootstrap_servers, options) as stage:
                    found.append(await measure(stage, model))
            except FAILURES as error:
                report.failures.append(f"{name}: {error or repr(error)}")
    report.figures["contenders"] = [asdict(one) for one in found]
    header = ["", "open", "pairs", "CPU us per pair", "pairs/s", "resident MiB", "peak MiB", "recovery s"]
    rows = [
        [one.name, f"{one.open_events:,}", f"{one.pairs:,}", one.cpu_us, f"{one.pairs_per_second:,.0f}",
         one.resident_mib, one.peak_mib, one.recovery_seconds]
        for one in found
    ]  # fmt: skip
    report.text.append(markdown(header, rows))
    return report


@asynccontextmanager
async def _stage(bootstrap_servers: str, options: PerformanceOptions) -> AsyncIterator[_Stage]:
    names = TopicNames(f"lt{secrets.token_hex(3)}-")
    specs = [spec for spec in topic_specs(names, partitions=options.partitions) if _needed(spec, names)]
    ports = Ports()
    try:
        with tempfile.TemporaryDirectory(prefix="driftline-join-", ignore_cleanup_errors=True) as folder:
            async with Cluster(bootstrap_servers) as cluster, cluster.topics(specs):
                yield _Stage(cluster, names, Path(folder), ports, options)
    finally:
        ports.release()


def _needed(spec: TopicSpec, names: TopicNames) -> bool:
    wanted = (
        names.predictions, names.shadow_predictions, names.labels, names.outcomes, names.labelled,
        names.performance_log, names.reports, names.dead_letters, names.state("performance"),
        names.state("performance-routing"),
    )  # fmt: skip
    return spec.name in wanted


async def _measured(
    stage: _Stage,
    name: str,
    part: Part,
    stream: JoinStream,
    pairs: int,
    progress: Callable[[], tuple[int, int] | None] | None,
) -> Joined:
    """Fill the store, stop the process, lay the pairs, let it go, and read what it used."""
    names, cluster = stage.names, stage.cluster
    count = stream.open_events
    await send(cluster.producer, names.predictions, stage.partitions, predictions(stream, 0, count))

    async def done(answers: int, known: int) -> bool:
        if not part.running:
            raise LoadTestError(f"the process ended by itself{part.explain()}")
        if progress is None:
            return await cluster.end(names.labelled) >= known
        seen = await asyncio.to_thread(progress)
        return seen is not None and seen[0] >= answers and seen[1] >= known

    patience = 180 + (count + pairs) / 1_000
    if progress is not None:
        await cluster.wait(lambda: done(count, 0), patience, f"{count:,} predictions to be stored")
    else:  # a peer tells only of what it has written: it has stored the rest when a first label is joined
        await send(cluster.producer, names.labels, stage.partitions, labels(stream, count, 500))
        await cluster.wait(lambda: done(0, 400), patience, "the first labels to be joined")
    already = 0 if progress is not None else 500
    await asyncio.sleep(SETTLE_SECONDS)
    part.suspend()
    first = count + already
    await send(cluster.producer, names.predictions, stage.partitions, predictions(stream, first, pairs))
    await send(cluster.producer, names.labels, stage.partitions, labels(stream, first, pairs))
    assert part.pid is not None
    before, began = usage(part.pid), time.perf_counter()
    part.resume()
    known = int((pairs + already) * (1.0 if progress is not None else 0.98))
    await cluster.wait(lambda: done(count + pairs, known), patience, f"{pairs:,} labels to be joined")
    seconds, after = time.perf_counter() - began, usage(part.pid)
    return Joined(
        name,
        count,
        pairs,
        round((after.cpu_seconds - before.cpu_seconds) / pairs * 1e6, 2),
        pairs / seconds,
        round(after.resident_bytes / 2**20, 1),
        round(after.peak_resident_bytes / 2**20, 1),
    )


async def _driftline(stage: _Stage, model: Model) -> Joined:
    port = stage.ports.reserve()
    settings = {
        "DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS": stage.cluster.bootstrap_servers,
        "DRIFTLINE_TOPIC_PREFIX": stage.names.prefix,
        "DRIFTLINE_GROUP_PREFIX": stage.names.prefix,
        "DRIFTLINE_MODEL_BUNDLES": str(model.bundle),
        "DRIFTLINE_JOIN_DIR": str(stage.folder / "join"),
        "DRIFTLINE_HTTP_PORT": str(port),
        "DRIFTLINE_IDLE_SECONDS": "3",
    } | own_path()
    command = [sys.executable, "-m", "services.performance"]
    stream = JoinStream.of("loadtest-logistic", stage.options.open_events, HORIZON_MS, stage.partitions)
    part = stage.part("performance", command, settings)
    part.launch()
    try:
        joined = await _measured(
            stage, "Driftline", part, stream, stage.options.pairs, lambda: _items_of(port)
        )
        part.kill()
        shutil.rmtree(stage.folder / "join")
        part = stage.part("replica", command, settings)
        part.launch()
        began = time.perf_counter()
        await stage.cluster.wait(
            lambda: asyncio.to_thread(_ready, port), 600 + stage.options.open_events / 1_000, "a new replica"
        )
        return Joined(**asdict(joined) | {"recovery_seconds": round(time.perf_counter() - began, 1)})
    finally:
        part.stop()


def _get(port: int, path: str) -> str | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            text: str = answer.read().decode()
            return text
    except OSError:
        return None


def _ready(port: int) -> bool:
    return _get(port, "/readyz") is not None


def _items_of(port: int) -> tuple[int, int] | None:
    """Return how many answers and labels the service has joined."""
    text = _get(port, "/metrics")
    if text is None:
        return None
    counts = {
        line.split(" ")[0]: float(line.split(" ")[1])
        for line in text.splitlines()
        if line.startswith("driftline_performance_items_total{")
    }
    name = 'driftline_performance_items_total{{kind="{}"}}'
    return int(counts.get(name.format("answers"), 0)), int(counts.get(name.format("labels"), 0))


async def _peer(stage: _Stage, name: str, command: list[str], settings: dict[str, str]) -> Joined:
    options, names = stage.options, stage.names
    told = {
        "LOADTEST_BOOTSTRAP_SERVERS": stage.cluster.bootstrap_servers,
        "LOADTEST_GROUP": f"{names.prefix}peer",
        "LOADTEST_PREDICTIONS": names.predictions,
        "LOADTEST_LABELS": names.labels,
        "LOADTEST_OUTPUT": names.labelled,
        "LOADTEST_FOLDER": str(stage.folder),
        "LOADTEST_HORIZON_MS": str(HORIZON_MS),
        "LOADTEST_PARTITIONS": str(stage.partitions),
        "PYTHONPATH": "",
        "PYTHONSAFEPATH": "1",
    }
    stream = JoinStream.of("peer", options.peer_events, HORIZON_MS, stage.partitions)
    part = stage.part("peer", command, told | settings)
    part.launch()
    try:
        return await _measured(stage, name, part, stream, options.peer_pairs, None)
    except LoadTestError as error:
        raise LoadTestError(f"{error}{part.explain()}") from error
    finally:
        part.stop()


async def _quix(stage: _Stage, model: Model) -> Joined:
    await asyncio.to_thread(install, "quixstreams")
    command = [str(python_of("quixstreams")), str(PROGRAMS / "quix_join.py")]
    return await _peer(stage, "Quix Streams, join_asof", command, {})


async def _faust(stage: _Stage, model: Model) -> Joined:
    await asyncio.to_thread(install, "faust")
    command = [
        str(environment("faust") / "bin" / "python"), str(PROGRAMS / "faust_join.py"), "--datadir",
        str(stage.folder / "faust"), "worker", "--loglevel", "warn", "--web-port", str(stage.ports.reserve()),
    ]  # fmt: skip
    return await _peer(stage, "Faust, table", command, {})
