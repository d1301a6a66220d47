"""One fleet at work with its traffic and its reader: faults are tried on it, and afterwards it is judged."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from tests.faults.catalogue import CATALOGUE
from tests.faults.limits import PARTITIONS, RESUMES_WITHIN
from tests.faults.patience import Patience
from tests.faults.progress import Place, everybody_at_the_end, groups_at_the_end, moving_beyond, positions
from tests.faults.result import Result
from tests.faults.rules.alerting import alert_state, alerting
from tests.faults.rules.comparing import comparing, judging
from tests.faults.rules.drifting import drifting
from tests.faults.rules.found import Found
from tests.faults.rules.quality import quality
from tests.faults.rules.scoring import scoring
from tests.faults.stage import Stage
from tests.faults.traffic import Traffic
from tests.faults.witness import Witness
from tests.streams import until

STARTS_WITHIN: Final = 180.0

_PATIENCE: Final = 5.0
"""Seconds that a planted mistake is given once everybody has come to the end: reports follow later."""

_REPORTED_AFTER: Final = 1.5
"""Seconds until the reports have caught up, mostly: to look sooner costs a look."""

Break = Callable[[Stage, Traffic], Awaitable[None]]


class Lane:
    """A stage with everything at work on it.

    Parameters
    ----------
    seed
        Of the traffic; the stage draws its choices by itself.
    """

    def __init__(self, stage: Stage, seed: int, rate: float) -> None:
        self.stage = stage
        self.seed = seed
        self.rate = rate
        topics = stage.topics
        self.traffic = Traffic(stage.client, topics, PARTITIONS, seed, rate, stage.services)
        read = [topics.events, topics.predictions, topics.dead_letters, topics.reports]
        if "shadow" in stage.services or "performance" in stage.services:
            read.append(topics.shadow_predictions)
        if "drift" in stage.services:
            read.append(topics.drift_counts)
        if "performance" in stage.services:
            read += [topics.labels, topics.outcomes, topics.labelled]
        if "alerting" in stage.services:
            read.append(topics.alerts)
        self.witness = Witness(stage.client, read)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Start the fleet and the traffic; every partition has moved when the block is entered."""
        stage = self.stage
        for service in stage.services:
            for _ in range(random.Random(f"{self.seed} {service}").choice((1, 2))):
                stage.fleet.start(service)
        async with self.witness.watching():
            await self._candidate_runs()
            async with self.traffic.flowing():
                await moving_beyond(stage, {}, STARTS_WITHIN)
                yield

    async def _candidate_runs(self) -> None:
        """Wait until the candidate is asked: what comes before then is compared with nothing."""
        parts = self.stage.fleet.alive("shadow")

        def running() -> bool:
            return all('"candidates changed"' in part.log_tail(1_000_000) for part in parts)

        await until(running, seconds=STARTS_WITHIN, what="the shadow to have its candidate")

    async def hurt(self, result: Result, fault: Break | None = None) -> None:
        """Carry out the fault of a result, then watch whether everybody moves again in time.

        Every choice from here on is drawn from seed, fault and topology alone, whatever happened before.
        """
        stage, traffic = self.stage, self.traffic
        stage.rng = random.Random(f"{self.seed} {result.fault} {result.topology}")
        result.services, result.rate = stage.services, self.rate
        await asyncio.sleep(stage.rng.uniform(0.5, 2.0))
        stage.journal.note("fault", name=result.fault, seed=result.seed, sent=traffic.sent)
        before = traffic.sent
        await (fault or CATALOGUE[result.fault])(stage, traffic)
        stage.journal.note("healed", sent=traffic.sent)
        result.resumed_after = await self._resumes(result)
        result.events = traffic.sent - before

    async def _resumes(self, result: Result) -> float | None:
        """Return after how many seconds every partition had moved; trace and report a stall."""
        stage, patience = self.stage, Patience(self.stage, RESUMES_WITHIN)
        before: dict[Place, int] = {}
        while not before and patience.left() > 0:
            before = await positions(stage)
        while True:
            try:
                await moving_beyond(stage, before, max(0.0, patience.left()))
            except AssertionError as error:
                if patience.left() > 0:
                    continue  # it was not let run as long as it seemed
                await self._stall(result, before, str(error), patience)
                return None
            result.starved = round(patience.starved(), 1)
            return round(patience.gone(), 1)

    async def _stall(
        self, result: Result, before: dict[Place, int], missing: str, patience: Patience
    ) -> None:
        """Report that somebody stands still, and have every process say where its tasks wait."""
        starved = round(patience.starved(), 1)
        self.stage.journal.note("stall", positions=str(before), starved=starved)
        self.stage.fleet.trace()
        await asyncio.sleep(1)
        result.violations.append(
            f"no progress of every partition in {RESUMES_WITHIN:g} s after the fault, beside {starved:g} s "
            f"without a processor: {missing}; where every task waits is in the logs of the processes"
        )

    async def judge(self, result: Result) -> None:
        """Pause the traffic and wait until every rule holds; report those that do not in time.

        A planted mistake is judged once everybody has come to the end: what is not finished is not lost.
        """
        await self.traffic.pause()
        await asyncio.sleep(_REPORTED_AFTER)
        patience = Patience(self.stage, RESUMES_WITHIN)
        shortened = False
        while broken := await self.broken():
            if result.control and not shortened and not await self.unfinished():
                patience, shortened = Patience(self.stage, _PATIENCE), True
            if patience.left() <= 0:
                result.starved = round(patience.starved(), 1)
                self.stage.fleet.trace()
                result.violations += (await self.unfinished() if result.control else []) or broken
                return
            await asyncio.sleep(1.0)

    async def unfinished(self) -> list[str]:
        """Return who has not come to the end of what is there, a sentence each."""
        return await groups_at_the_end(self.stage, Found(self.stage.topics, self.witness.seen))

    async def broken(self) -> list[str]:
        """Return what does not hold now, a sentence each."""
        stage = self.stage
        await self.witness.caught_up()
        found = Found(stage.topics, self.witness.seen)
        problems = scoring(found, sent=self.traffic.sent, champions=stage.champions)
        if problems:
            return problems  # the others stand on it
        if "shadow" in stage.services:
            problems += comparing(found, lost_sight=stage.candidate_was_gone())
        if "performance" in stage.services:
            problems += quality(found)
        if {"shadow", "performance"} <= set(stage.services):
            problems += judging(found)
        if "alerting" in stage.services:
            problems += alerting(found, stage.receiver)
            problems += await alert_state(stage, found)
        problems += await everybody_at_the_end(stage, found)
        if "drift" in stage.services:
            problems += await drifting(stage, found)
        return problems

    async def leave(self, result: Result) -> None:
        """SIGTERM to all; whoever does not stop in time, or ended before, is a violation."""
        stage = self.stage
        for service in stage.services:
            parts = stage.fleet.alive(service)
            for part in parts:
                part.resume()
            await asyncio.gather(*map(stage.fleet.stop, parts))
        result.violations += stage.fleet.misbehaved()

    async def look_again(self, result: Result) -> None:
        """Judge what was written to the last, and whether a reader that comes now sees the same."""
        result.violations += [v for v in await self.broken() if v not in result.violations]
        result.violations += await self.witness.disagreements()
