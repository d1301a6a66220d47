"""One run: a fleet at work, one fault, two questions: does it move again, and is everything right?"""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devstack.apache_kafka import ApacheKafka
from devstack.redis_server import RedisServer
from tests.faults.controls import CONTROLS
from tests.faults.journal import Journal
from tests.faults.lane import Lane
from tests.faults.result import Result
from tests.faults.stage import Stage
from tests.faults.staging import staged

RATE: Final = 120.0


@dataclass(frozen=True, slots=True)
class Servers:
    """What runs share."""

    kafka: ApacheKafka
    redis: RedisServer
    topology: str

    def heal(self) -> None:
        """Bring back every broker and Redis, whatever a run that broke off has left."""
        for node in self.kafka.nodes:
            if node.running:
                node.resume()
            else:
                node.launch()
        self.kafka.wait_ready()
        if not self.redis.part.running:
            self.redis.start()


async def run(
    servers: Servers,
    folder: Path,
    *,
    seed: int,
    fault: str,
    services: tuple[str, ...] = ("inference",),
    control: str = "",
    rate: float = RATE,
) -> Result:
    """Carry out one fault and return what was broken."""
    result = Result(seed, fault, servers.topology, control, folder=str(folder))
    result.services, result.rate = services, rate
    journal = Journal(folder)
    journal.note("run", seed=seed, fault=fault, topology=servers.topology, control=control, services=services)
    started = time.monotonic()
    drawn = f"{seed} {fault} {servers.topology}"
    try:
        async with staged(
            servers.kafka, servers.redis, journal, seed=drawn, services=services, control=control
        ) as stage:
            await _play(stage, result)
    except Exception as error:
        journal.note("broke off", error=repr(error), trace=traceback.format_exc())
        result.violations.append(f"the run broke off: {type(error).__name__}: {str(error)[:300]}")
    finally:
        if control:
            result.noticed = CONTROLS[control].is_noticed(result.violations, logs_in(folder))
        result.seconds = round(time.monotonic() - started, 1)
        journal.note("result", **result.as_json())
        journal.close()
    return result


async def _play(stage: Stage, result: Result) -> None:
    lane = Lane(stage, result.seed, result.rate)
    async with lane.at_work():
        await lane.hurt(result)
        if result.control and not result.passed:
            return  # it stands still, as it was meant to: nothing more will come
        await lane.judge(result)
        await lane.leave(result)
        await lane.look_again(result)
        result.events = lane.traffic.sent


def logs_in(folder: Path) -> str:
    """Return what the processes of a run have logged."""
    return "\n".join(log.read_text(errors="replace") for log in sorted(folder.glob("*/*.log")))
