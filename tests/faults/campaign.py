"""Many trials for the price of few starts: lanes side by side go through all faults one after another.

A lane is a fleet with its topics, model and traffic, under a seed of its own. All lanes are at the same
fault at the same time. What hurts a process is done in each lane by itself, with the choices that its
seed draws; what hurts a server (a broker, Redis) is done once, with the choices of the first lane, and
hits every lane wherever it happens to be. After each fault every lane is judged; one in which a rule was
broken, or that broke off, is given up and replaced, so that one violation is not counted twice.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults.catalogue import CATALOGUE, OF_SERVERS, possible
from tests.faults.journal import Journal
from tests.faults.lane import Break, Lane
from tests.faults.result import Result
from tests.faults.run import Servers
from tests.faults.stage import Stage
from tests.faults.staging import staged
from tests.faults.traffic import Traffic

RATE: Final = 45.0
FRESH_AFTER: Final = 6
"""Faults that a lane goes through before another takes its place: judging takes longer with every event."""

LAST: Final = ("corrupt-bundle", "redis-loss")
"""Afterwards no new process finds its model, or nothing says which event a new champion was first for."""


@dataclass
class _Running:
    """A lane at work, and what ends it."""

    seed: int
    lane: Lane
    journal: Journal
    stack: AsyncExitStack
    started: float
    trials: int = 0
    spoilt: bool = False


class Campaign:
    """Lanes over shared servers.

    Parameters
    ----------
    lanes
        Seed and services of each lane.
    faults
        In the order in which they are tried; those of :data:`LAST` go last.
    nursery
        Where processes are forked; without one each is started by itself.
    """

    def __init__(
        self,
        servers: Servers,
        folder: Path,
        lanes: Sequence[tuple[int, tuple[str, ...]]],
        faults: Sequence[str],
        nursery: Path | None = None,
        rate: float = RATE,
    ) -> None:
        self._rate = rate
        self._nursery = nursery
        self._servers = servers
        self._folder = folder
        self._lanes = dict(lanes)
        self._faults = sorted(faults, key=lambda name: (*LAST, name).index(name) if name in LAST else -1)
        self._running: dict[int, _Running] = {}

    async def results(self) -> AsyncIterator[Result]:
        """Yield a result per seed and fault, and one per lane for its end."""
        try:
            for fault in self._faults:
                able = [seed for seed, services in self._lanes.items() if possible(fault, services)]
                ready = await asyncio.gather(*(self._ready(seed) for seed in able))
                for result in await self._try(fault, [one for one in ready if isinstance(one, _Running)]):
                    yield result
                for result in ready:
                    if isinstance(result, Result):
                        result.fault = fault
                        yield result
                tired = [one for one in self._running.values() if one.trials >= FRESH_AFTER]
                for result in await asyncio.gather(*map(self._end, tired)):
                    yield result
            for result in await asyncio.gather(*map(self._end, list(self._running.values()))):
                yield result
        finally:
            for running in list(self._running.values()):
                await self._give_up(running)

    async def _ready(self, seed: int) -> _Running | Result:
        """Return the lane of a seed, started anew where the last one was given up."""
        if (running := self._running.get(seed)) is not None and not running.spoilt:
            return running
        if running is not None:
            await self._give_up(running)
        folder = self._folder / f"{time.strftime('%H%M%S')}-lane-{seed}"
        journal = Journal(folder)
        stack = AsyncExitStack()
        stack.callback(journal.close)
        servers, services = self._servers, self._lanes[seed]
        try:
            stage = await stack.enter_async_context(
                staged(
                    servers.kafka,
                    servers.redis,
                    journal,
                    seed=str(seed),
                    services=services,
                    nursery=self._nursery,
                )
            )
            lane = Lane(stage, seed, self._rate)
            await stack.enter_async_context(lane.at_work())
        except Exception as error:
            journal.note("broke off", error=repr(error), trace=traceback.format_exc())
            await stack.aclose()
            result = Result(seed, "", servers.topology, folder=str(folder))
            result.violations.append(f"the lane did not start: {type(error).__name__}: {str(error)[:300]}")
            return result
        self._running[seed] = _Running(seed, lane, journal, stack, time.monotonic())
        return self._running[seed]

    async def _try(self, fault: str, lanes: Sequence[_Running]) -> list[Result]:
        """Carry out one fault in every lane, and judge each."""
        shared = _Shared(fault, lanes, self._servers) if fault in OF_SERVERS else None
        return list(await asyncio.gather(*(self._trial(fault, one, shared) for one in lanes)))

    async def _trial(self, fault: str, running: _Running, shared: _Shared | None) -> Result:
        result = Result(running.seed, fault, self._servers.topology, folder=str(running.journal.folder))
        result.drawn_by = None if shared is None or shared.drawn_by == running.seed else shared.drawn_by
        began = time.monotonic()
        try:
            running.lane.traffic.resume()
            await running.lane.hurt(result, shared)
            await running.lane.judge(result)
        except Exception as error:
            running.journal.note("broke off", error=repr(error), trace=traceback.format_exc())
            result.violations.append(f"the run broke off: {type(error).__name__}: {str(error)[:300]}")
        result.seconds = round(time.monotonic() - began, 1)
        result.violations += running.lane.stage.fleet.misbehaved()
        running.trials += 1
        running.spoilt = bool(result.violations)
        running.journal.note("result", **result.as_json())
        return result

    async def _end(self, running: _Running) -> Result:
        """Let a lane end in order, and look once more with a reader that comes only now."""
        result = Result(running.seed, "(end)", self._servers.topology, folder=str(running.journal.folder))
        began = time.monotonic()
        try:
            if not running.spoilt:
                await running.lane.leave(result)
                await running.lane.look_again(result)
        except Exception as error:
            running.journal.note("broke off", error=repr(error), trace=traceback.format_exc())
            result.violations.append(f"the end broke off: {type(error).__name__}: {str(error)[:300]}")
        result.seconds = round(time.monotonic() - began, 1)
        running.journal.note("result", **result.as_json())
        await self._give_up(running)
        return result

    async def _give_up(self, running: _Running) -> None:
        try:
            async with asyncio.timeout(60):
                await running.stack.aclose()
        except Exception as error:
            running.journal.note("not closed in order", error=repr(error))
        running.lane.stage.fleet.close()
        del self._running[running.seed]


class _Shared:
    """A fault of a server that every lane has at once; one lane carries it out when all have come to it."""

    def __init__(self, fault: str, lanes: Sequence[_Running], servers: Servers) -> None:
        self._servers = servers
        self._break: Break = CATALOGUE[fault]
        self._forgets = fault == "redis-loss"
        self._leader = lanes[0].lane.stage if lanes else None
        self.drawn_by = lanes[0].seed if lanes else None
        self._awaited = len(lanes)
        self._all_here, self._over = asyncio.Event(), asyncio.Event()

    async def __call__(self, stage: Stage, traffic: Traffic) -> None:
        self._awaited -= 1
        if self._awaited <= 0:
            self._all_here.set()
        if stage is self._leader:
            await self._all_here.wait()
            try:
                await self._break(stage, traffic)
            finally:
                await asyncio.to_thread(self._servers.heal)  # one that broke off must not break the next
                self._over.set()
        await self._over.wait()
        stage.registry_lost |= self._forgets
