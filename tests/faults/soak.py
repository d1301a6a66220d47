"""``python -m tests.faults.soak --hours 8``: faults at random for hours, and what must come back each time.

Memory and open files must stay flat, the lag must return to nothing, and the rules of the suite hold at
the end. Nine faults in ten are such that the processes survive, so that what grows is seen; the others end
some of them. Writes one page with plots and the verdict, also where the soak breaks off;
``--json`` prints the same numbers. Exit code 1 if a rule was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
import traceback
from pathlib import Path
from typing import Final

from devstack.apache_kafka import ApacheKafka
from devstack.redis_server import RedisServer
from tests.faults.__main__ import NODES
from tests.faults.fleet import SERVICES
from tests.faults.journal import Journal
from tests.faults.lane import Lane
from tests.faults.progress import inference_positions
from tests.faults.result import Result
from tests.faults.run import Servers
from tests.faults.seen import ENDING, ENDING_SHARE, SURVIVABLE, Seen, Series
from tests.faults.soak_page import page
from tests.faults.stage import Stage
from tests.faults.staging import staged
from tests.faults.traffic import Traffic

SAMPLE_SECONDS: Final = 2.0
RATE: Final = 60.0


def _look(seen: Seen, stage: Stage) -> None:
    for parts in stage.fleet.parts.values():
        for part in parts:
            proc = Path(f"/proc/{part.pid}")
            if not part.running or not proc.exists():
                continue
            series = seen.processes.setdefault(part.name, Series())
            status = (proc / "status").read_text()
            resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
            series.at.append(seen.now())
            series.mib.append(int(resident.split()[1]) / 1024)
            series.handles.append(len(list((proc / "fd").iterdir())))


async def _watch(seen: Seen, stage: Stage, traffic: Traffic) -> None:
    while True:
        try:
            _look(seen, stage)
        except OSError as error:  # a process ended while it was looked at
            stage.journal.note("not seen", error=repr(error))
        if at := await inference_positions(stage):
            seen.lag.append((seen.now(), traffic.sent - sum(at.values())))
        await asyncio.sleep(SAMPLE_SECONDS)


async def soak(
    servers: Servers, folder: Path, *, seconds: float, seed: int, services: tuple[str, ...]
) -> tuple[Seen, Result]:
    """Break things for so long, then look; what breaks off is a violation, and what was seen is returned."""
    seen, result = Seen(), Result(seed, "soak", servers.topology, folder=str(folder))
    journal = Journal(folder)
    try:
        async with staged(
            servers.kafka, servers.redis, journal, seed=f"soak {seed}", services=services
        ) as stage:
            await _endure(stage, seen, result, seconds)
    except Exception as error:
        journal.note("broke off", error=repr(error), trace=traceback.format_exc())
        result.violations.append(f"it broke off: {type(error).__name__}: {str(error)[:300]}")
    for name, series in seen.processes.items():
        result.violations += series.complaints(name)
    result.seconds = round(seen.now(), 1)
    journal.note("result", **result.as_json())
    journal.close()
    return seen, result


async def _endure(stage: Stage, seen: Seen, result: Result, seconds: float) -> None:
    lane, rng = Lane(stage, result.seed, RATE), random.Random(f"soak {result.seed}")
    async with lane.at_work():
        seen.started = time.monotonic()
        watching = asyncio.create_task(_watch(seen, stage, lane.traffic))
        try:
            while seen.now() < seconds:
                await _one_fault(seen, lane, result, rng)
        finally:
            result.events = lane.traffic.sent
            watching.cancel()
            await asyncio.wait([watching])
        if not watching.cancelled():
            watching.result()  # it ended by itself: say why
        result.events = lane.traffic.sent
        await lane.judge(result)
        at = await inference_positions(stage)
        seen.lag.append((seen.now(), lane.traffic.sent - sum(at.values())))
        await lane.leave(result)
        await lane.look_again(result)


async def _one_fault(seen: Seen, lane: Lane, result: Result, rng: random.Random) -> None:
    ending = rng.random() < ENDING_SHARE
    result.fault = rng.choice(ENDING if ending else SURVIVABLE)
    began = seen.now()
    await lane.hurt(result)
    seen.faults.append((began, result.fault, result.resumed_after))
    await asyncio.sleep(rng.uniform(2, 20))


def main() -> int:
    """Run and report; return the exit code."""
    parser = argparse.ArgumentParser("python -m tests.faults.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--topology", choices=tuple(NODES), default="one")
    parser.add_argument("--services", default="inference")
    parser.add_argument("--html", type=Path, default=Path("soak.html"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folder = Path(f".devstack/faults/{time.strftime('%Y%m%d-%H%M%S')}-soak-{options.seed}").resolve()
    with ApacheKafka(nodes=NODES[options.topology]) as kafka, RedisServer() as redis:
        servers = Servers(kafka, redis, options.topology)
        seen, result = asyncio.run(
            soak(
                servers,
                folder,
                seconds=options.hours * 3600,
                seed=options.seed,
                services=SERVICES if options.services == "all" else tuple(options.services.split(",")),
            )
        )
    result.fault = "soak"
    page(seen, result).write(options.html)
    if options.json:
        print(json.dumps(result.as_json() | {"faults": len(seen.faults), "growth": seen.growth()}))
    else:
        done = f"{result.events} events, {len(seen.faults)} faults, {len(result.violations)} rules broken"
        print(f"{done}: {options.html}")
        print("".join(f"  {violation}\n" for violation in result.violations), end="")
    return 0 if result.passed else 1


if __name__ == "__main__":
    sys.exit(main())
