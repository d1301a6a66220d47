"""What the shadow costs per event beside inference, and whether the champion's latency feels it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from devstack.part import Part
from devstack.redis_server import RedisServer
from loadtest.backlog import Backlog
from loadtest.contenders.contender import Contender
from loadtest.contenders.running import Running, warmed_up
from loadtest.contenders.shadow import a_shadow, inference_beside_a_shadow, shadow_has_done
from loadtest.errors import FAILURES, LoadTestError
from loadtest.events import EventSource
from loadtest.measure import drain_seconds
from loadtest.meter import Usage, proportional_bytes, usage
from loadtest.models import Model, make_model
from loadtest.report import Report
from loadtest.scenarios import latency
from loadtest.summary import Spread, markdown, ratios

WARM_UP = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowOptions:
    """What to measure.

    Attributes
    ----------
    events
        Of the backlog.
    rounds
        Of the backlog; and of latency with the shadow off and on, in turn.
    rate, seconds, ramp_seconds
        Of the latency.
    """

    events: int = 300_000
    rounds: int = 3
    rate: float = 2_000
    seconds: float = 30.0
    ramp_seconds: float = 5.0
    partitions: int = 6
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Cost:
    """What one service used for the backlog; its model processes are part of it.

    Attributes
    ----------
    peak_mib
        Largest resident sizes, added up: libraries count for every process.
    shared_mib
        Memory when it was done, what several processes share counted once.
    """

    cpu_us: float
    events_per_second: float
    peak_mib: float
    shared_mib: float


async def run(bootstrap_servers: str, options: ShadowOptions) -> Report:
    """Return the cost of both services, and the champion's latency without and with the shadow."""
    report = Report("shadow", asdict(options))
    contender = inference_beside_a_shadow()
    source = EventSource(options.seed)
    warm_up = Backlog.encode(source, 0, WARM_UP, options.partitions)
    backlog = Backlog.encode(source, WARM_UP, options.events, options.partitions)
    costs: list[tuple[Cost, Cost]] = []
    found: dict[str, list[latency.Latency]] = {"shadow off": [], "shadow on": []}
    with tempfile.TemporaryDirectory(prefix="driftline-loadtest-models-") as folder, RedisServer() as redis:
        champion = make_model("trees", Path(folder))
        candidate = make_model("trees", Path(folder), version="2", seed=1)
        for number in range(1, options.rounds + 1):
            try:
                async with warmed_up(contender, bootstrap_servers, warm_up, champion) as running:
                    costs.append(await _cost(running, redis, candidate, backlog))
                print(f"round {number}: {_brief(costs[-1])}", flush=True)
                for name, runs in found.items():
                    shadow = None if name == "shadow off" else (redis, candidate)
                    runs.append(await _latency(contender, bootstrap_servers, champion, shadow, options))
                    print(f"round {number}: {name:<12} {latency._brief(runs[-1])}", flush=True)
            except FAILURES as error:
                report.failures.append(f"round {number}: {error or repr(error)}")
                print(f"FAILED {report.failures[-1]}", flush=True)
    if costs:
        _lay_out(report, costs)
    latency.lay_out(report, found)
    return report


async def _cost(
    running: Running, redis: RedisServer, candidate: Model, backlog: Backlog
) -> tuple[Cost, Cost]:
    """Let inference work off the backlog, then the shadow; return what each used.

    One after the other, so that neither waits for the other's core; the events, the answers and the
    machine are the same.
    """
    everything = WARM_UP + backlog.events
    async with a_shadow(running, redis, candidate, WARM_UP) as shadow:
        running.part.suspend()
        shadow.suspend()
        await backlog.send(running.cluster.producer, running.job.events)
        before, began = running.usage(), time.perf_counter()
        running.part.resume()
        await running.wait_for(everything, drain_seconds(backlog.events))
        inference = _used(running.part, before, time.perf_counter() - began, backlog.events)
        before, began = _usage(shadow), time.perf_counter()
        shadow.resume()
        await shadow_has_done(running, shadow, everything, drain_seconds(backlog.events))
        shadowing = _used(shadow, before, time.perf_counter() - began, backlog.events)
        await _verify(running, everything)
    return inference, shadowing


async def _verify(running: Running, everything: int) -> None:
    """Look whether the candidate answered every event once."""
    topic = f"{running.job.prefix}shadow-predictions"
    visible, _ = await running.cluster.visible(topic, everything, 60)
    if visible != everything:
        raise LoadTestError(f"{everything:,} events in, but {visible:,} shadow predictions out")


async def _latency(
    contender: Contender,
    bootstrap_servers: str,
    champion: Model,
    shadow: tuple[RedisServer, Model] | None,
    options: ShadowOptions,
) -> latency.Latency:
    chosen = latency.LatencyOptions(
        rate=options.rate,
        seconds=options.seconds,
        ramp_seconds=options.ramp_seconds,
        partitions=options.partitions,
        seed=options.seed,
    )
    warm_up = Backlog.encode(EventSource(options.seed), 0, latency.WARM_UP, options.partitions)
    async with warmed_up(contender, bootstrap_servers, warm_up, champion) as running:
        if shadow is None:
            return await latency._one(running, chosen)
        async with a_shadow(running, *shadow, latency.WARM_UP):
            return await latency._one(running, chosen)


def _usage(part: Part) -> Usage:
    if part.pid is None:
        raise LoadTestError(f"{part.name} is not running{part.explain()}")
    return usage(part.pid)


def _used(part: Part, before: Usage, seconds: float, events: int) -> Cost:
    after = _usage(part)
    cpu = (after.cpu_seconds - before.cpu_seconds) / events * 1e6
    assert part.pid is not None
    peak, shared = after.peak_resident_bytes / 2**20, proportional_bytes(part.pid) / 2**20
    return Cost(round(cpu, 3), round(events / seconds), round(peak, 1), round(shared, 1))


def _brief(costs: tuple[Cost, Cost]) -> str:
    names = ("inference", "shadow")
    return "; ".join(
        f"{name} {cost.cpu_us:.2f} us CPU/event, {cost.events_per_second:,.0f} events/s,"
        f" {cost.peak_mib:.0f} MiB, {cost.shared_mib:.0f} counted once"
        for name, cost in zip(names, costs, strict=True)
    )


def _lay_out(report: Report, costs: Sequence[tuple[Cost, Cost]]) -> None:
    rows: list[list[object]] = []
    for at, name in enumerate(("inference", "shadow: scoring and comparison")):
        of = [pair[at] for pair in costs]
        report.figures[name] = [msgspec.to_builtins(cost) for cost in of]
        rows.append(
            [
                name,
                Spread.of([cost.cpu_us for cost in of]),
                Spread.of([cost.events_per_second for cost in of]),
                Spread.of([cost.peak_mib for cost in of]),
                Spread.of([cost.shared_mib for cost in of]),
                ratios([cost.cpu_us for cost in of], [pair[0].cpu_us for pair in costs]),
            ]
        )
    report.text.append(
        markdown(["service", "CPU us/event", "events/s", "peak MiB", "MiB counted once", "x inference"], rows)
    )
