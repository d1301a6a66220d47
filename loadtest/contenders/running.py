"""A contender up and warm, with what the harness asks of it; nothing of it outlives the harness."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from devstack.part import Part
from devstack.ports import Ports
from loadtest.backlog import Backlog
from loadtest.cluster import Cluster, Seen
from loadtest.contenders.contender import Contender, Job
from loadtest.errors import LoadTestError
from loadtest.meter import Usage, usage
from loadtest.models import Model

START_SECONDS = 90.0
SETTLE_SECONDS = 1.0
STOP_SECONDS = 15.0
VERIFY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Running:
    """A running contender and the cluster it works on.

    Attributes
    ----------
    part
        Its process.
    others
        More processes of the same group.
    """

    contender: Contender
    cluster: Cluster
    job: Job
    part: Part
    others: tuple[Part, ...] = ()

    @property
    def parts(self) -> tuple[Part, ...]:
        """All its processes."""
        return (self.part, *self.others)

    def usage(self) -> Usage:
        """Return what its processes have used since they started."""
        used = Usage(0.0, 0, 0)
        for part in self.parts:
            if part.pid is None:
                raise LoadTestError(f"{self.contender.name} is not running")
            used += usage(part.pid)
        return used

    def suspend(self) -> None:
        """Stop its processes where they are; they keep their partitions for a session's length."""
        for part in self.parts:
            part.suspend()

    def resume(self) -> None:
        """Let them go on."""
        for part in self.parts:
            part.resume()

    async def progress(self) -> int:
        """Return how many events it has done since it started."""
        if self.contender.progress == "merged":
            return await asyncio.to_thread(merged_events, self.job.port)
        if self.contender.progress == "committed":
            return await self.cluster.committed(self.job.group, self.job.events)
        return await self.cluster.end(self.job.predictions)

    async def wait_for(self, events: int, seconds: float) -> None:
        """Wait until it has done so many events since it started.

        Raises
        ------
        LoadTestError
            Its process ended, or ``seconds`` passed; with the end of its log.
        """

        async def done() -> bool:
            if not all(part.running for part in self.parts):
                raise LoadTestError("a process ended by itself")
            return await self.progress() >= events

        try:
            await self.cluster.wait(done, seconds, f"{events:,} events to be done")
        except LoadTestError as error:
            raise LoadTestError(f"{error}{self.part.explain()}") from error

    async def verify(self, expected: int) -> Seen | None:
        """Count the output as a read_committed reader sees it; None where there is none to count.

        Raises
        ------
        LoadTestError
            It is not one record per event.
        """
        if self.contender.progress == "merged":
            await self.wait_for(expected, VERIFY_SECONDS)
            return None
        seen = await self.cluster.visible(self.job.predictions, expected, VERIFY_SECONDS)
        if seen.records != expected:
            raise LoadTestError(f"{expected:,} events in, but {seen.records:,} predictions out")
        return seen


def merged_events(port: int) -> int:
    """Return how many events the drift service's detectors have seen, 0 before it says so."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return 0
    counts = (line.rpartition(" ")[2] for line in lines if line.startswith("driftline_drift_merged_events{"))
    return sum(int(float(count)) for count in counts)


@asynccontextmanager
async def warmed_up(
    contender: Contender, bootstrap_servers: str, warm_up: Backlog, model: Model | None, *, processes: int = 1
) -> AsyncIterator[Running]:
    """Start a contender on topics of its own, and hand it over once it has worked off the warm-up.

    Then imports, connections, caches and first batches are behind it. Process, topics and files are
    gone in the end, however it comes.
    """
    with a_job(bootstrap_servers, model) as job:
        async with (
            Cluster(bootstrap_servers) as cluster,
            cluster.topics(job.topics(contender.topics, len(warm_up.partitions))),
        ):
            if processes == 1:
                await warm_up.send(cluster.producer, job.events)
            with _processes(contender, job, processes) as (part, *others):
                running = Running(contender, cluster, job, part, tuple(others))
                if processes > 1:  # each is to have its share of the warm-up
                    await _shared(running)
                    await warm_up.send(cluster.producer, job.events)
                await running.wait_for(warm_up.events, START_SECONDS)
                await asyncio.sleep(SETTLE_SECONDS)  # lets its last commits and reports go out
                yield running


@contextmanager
def a_job(bootstrap_servers: str, model: Model | None) -> Iterator[Job]:
    """Give one run its prefix, scratch folder and port, and take folder and port back."""
    ports = Ports()
    try:
        with tempfile.TemporaryDirectory(prefix="driftline-loadtest-", ignore_cleanup_errors=True) as folder:
            prefix = f"lt{secrets.token_hex(3)}-"
            yield Job(bootstrap_servers, prefix, model, Path(folder), ports.reserve())
    finally:
        ports.release()


async def _shared(running: Running) -> None:
    async def all_are_members() -> bool:
        return await running.cluster.members(running.job.group) == len(running.parts)

    what = f"{len(running.parts)} processes to share the partitions{running.part.explain()}"
    await running.cluster.wait(all_are_members, START_SECONDS, what)
    await asyncio.sleep(SETTLE_SECONDS)  # a member may still be opening its partitions


@contextmanager
def _processes(contender: Contender, job: Job, count: int) -> Iterator[list[Part]]:
    """Run so many processes of one group, each with a folder and a port of its own."""
    ports = Ports()
    try:
        with ExitStack() as stack:
            others = [
                replace(job, folder=job.folder / f"process-{n}", port=ports.reserve())
                for n in range(1, count)
            ]
            yield [stack.enter_context(a_process(contender, one)) for one in (job, *others)]
    finally:
        ports.release()


@contextmanager
def a_process(contender: Contender, job: Job) -> Iterator[Part]:
    """Run the process under a warden, which ends it even where the harness is killed."""
    launch = contender.launch(job)
    part = Part(
        contender.kind, launch.command, job.folder, scratch=job.folder, environment=launch.environment
    )
    part.launch()
    try:
        yield part
    finally:
        part.stop(STOP_SECONDS)
