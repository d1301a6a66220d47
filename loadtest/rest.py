"""A yardstick that reads no Kafka: the model behind REST, measured by the CPU of the server alone.

Its client is the harness, which costs it nothing; what a stream processor does besides (consuming,
producing, committing) is in no figure of it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence

import aiohttp
import numpy as np

from loadtest.contenders.contender import Contender, Job
from loadtest.contenders.running import START_SECONDS, a_job, a_process
from loadtest.errors import LoadTestError
from loadtest.measure import Load, Measurement, drain_seconds
from loadtest.meter import usage
from loadtest.models import Model

MODEL = "loadtest"
CONNECTIONS = 100
WARM_UP_REQUESTS = 200


async def measure_over_rest(
    contender: Contender, bootstrap_servers: str, load: Load, model: Model
) -> Measurement:
    """Start a server, let it answer some requests, then read its CPU around the measured ones.

    Raises
    ------
    LoadTestError
        It did not start, refused a request, or did not answer every row once.
    """
    size, rows = contender.rows_per_request, load.backlog.events
    bodies = list(_bodies(rows, size, len(model.features)))
    with a_job(bootstrap_servers, model) as job, a_process(contender, job) as part:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:
            deadline = time.monotonic() + START_SECONDS
            while not await _ready(session, job):
                if time.monotonic() > deadline or not part.running:
                    raise LoadTestError(f"{contender.name} was not ready{part.explain()}")
                await asyncio.sleep(0.1)
            await _ask(session, job, bodies[: max(2, WARM_UP_REQUESTS // size)])
            assert part.pid is not None
            before, started = usage(part.pid), time.perf_counter()
            async with asyncio.timeout(drain_seconds(rows)):
                answered = await _ask(session, job, bodies)
            seconds, after = time.perf_counter() - started, usage(part.pid)
    if answered != rows:
        raise LoadTestError(f"{rows:,} rows asked, but {answered:,} scores answered")
    cpu = after.cpu_seconds - before.cpu_seconds
    return Measurement(
        events=rows,
        seconds=round(seconds, 3),
        cpu_seconds=round(cpu, 3),
        cpu_us=round(cpu / rows * 1e6, 3),
        events_per_second=round(rows / seconds),
        peak_mib=round(after.peak_resident_bytes / 2**20, 1),
    )


def _bodies(rows: int, size: int, features: int) -> Iterator[bytes]:
    """Yield requests of the V2 inference protocol, each with so many rows, the last with the rest."""
    random = np.random.default_rng(1)
    for first in range(0, rows, size):
        values = random.standard_normal((min(size, rows - first), features)).tolist()
        tensor = {"name": "rows", "shape": [len(values), features], "datatype": "FP32", "data": values}
        yield json.dumps({"inputs": [tensor]}).encode()


async def _ready(session: aiohttp.ClientSession, job: Job) -> bool:
    try:
        async with session.get(f"http://127.0.0.1:{job.port}/v2/models/{MODEL}/ready") as answer:
            return answer.status == 200
    except aiohttp.ClientConnectionError:
        return False


async def _ask(session: aiohttp.ClientSession, job: Job, bodies: Sequence[bytes]) -> int:
    """Return how many scores came back; as many requests as there are connections are always on their way."""
    url, waiting = f"http://127.0.0.1:{job.port}/v2/models/{MODEL}/infer", iter(bodies)
    headers = {"Content-Type": "application/json"}

    async def one_connection() -> int:
        found = 0
        for body in waiting:
            async with session.post(url, data=body, headers=headers) as answer:
                if answer.status != 200:
                    raise LoadTestError(f"status {answer.status}: {(await answer.text())[:300]}")
                found += len((await answer.json())["outputs"][0]["data"])
        return found

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one_connection()) for _ in range(CONNECTIONS)]
    return sum(task.result() for task in tasks)
