"""The demo from its first event to its verdict."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack

import aiohttp

from devstack.demo.champion import champion
from devstack.demo.folder import new_run_folder
from devstack.demo.options import Options
from devstack.demo.services import STOP_TIMEOUT
from devstack.demo.shadow_verdict import settled
from devstack.demo.start import start
from devstack.demo.state import Run
from devstack.demo.story import introduce
from devstack.demo.topics import NAMES
from devstack.demo.verdict import Verdict, judge
from devstack.demo.view import View
from devstack.demo.watch import TopicReader, dead_letter_taker, prediction_taker, report_taker
from shared.lifecycle import stop_on_signals

LOOK_SECONDS = 1.0
FRAME_SECONDS = 0.25
DRAIN_SECONDS = 60.0
POLL_SECONDS = 0.1


async def demo(options: Options, view: View, began_at: float) -> Verdict:
    """Run the demo and return its verdict; nothing of it runs any more afterwards.

    Parameters
    ----------
    began_at
        When the command began, in seconds of the monotonic clock.

    Raises
    ------
    ServiceError
        A server or a service did not start; the message names it and shows the end of its log.
    Interrupted
        Ctrl-C came before the first event was sent.
    """
    folder = new_run_folder()
    logging.basicConfig(filename=folder / "demo.log", level=logging.INFO, force=True)
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        run = await start(options, view, began_at, folder, stack=stack, stop=stop)
        stack.callback(view.close)
        await live(run, view, stop)
        verdict = judge(run)  # while everything still runs
        return verdict.with_problems(await asyncio.to_thread(_stop_services, run))


def _stop_services(run: Run) -> list[str]:
    """Stop the services; return a sentence for each that did not end by itself."""
    return [
        f"the service {service.name} did not end within {STOP_TIMEOUT:g} s of SIGTERM{service.part.explain()}"
        for service in run.services
        if not service.stop()
    ]


async def live(run: Run, view: View, stop: asyncio.Event) -> None:
    """Replay until ``stop``, the time is up, the year is over or a process ends; then await the answers."""
    settings = run.servers.reader(run.options)
    books = (run.quality.take, run.drift.take, run.shadow.take)
    readers = [
        TopicReader(settings, NAMES.predictions, prediction_taker(run.ledger), run.clock),
        TopicReader(settings, NAMES.dead_letters, dead_letter_taker(run.ledger), run.clock),
        TopicReader(settings, NAMES.alerts, run.alerts.take_alert, run.clock),
        TopicReader(
            settings,
            NAMES.reports,
            report_taker(*books),
            run.clock,
        ),
    ]
    async with AsyncExitStack() as stack:
        for reader in readers:
            stack.push_async_callback(reader.close)
            await reader.start()
        over = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for reader in readers:
                tasks.create_task(reader.run(over))
            tasks.create_task(_watch(run, view, stop, over))
            tasks.create_task(introduce(run, over))
            try:
                await _replay(run, stop)
                await _drain(run, readers)
            finally:
                over.set()


async def _replay(run: Run, stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    run.replay_began_at = run.clock()
    if run.options.seconds is not None:
        loop.call_later(run.options.seconds, stop.set)
    replaying = loop.create_task(run.replay.run(stop))
    ended = loop.create_task(run.process_ended.wait())
    # A producer without its broker would wait for it: the end of a process ends the replay too.
    await asyncio.wait([replaying, ended], return_when=asyncio.FIRST_COMPLETED)
    ended.cancel()
    if not replaying.done():
        replaying.cancel()
    await asyncio.wait([replaying])
    run.replay_ended_at = run.clock()
    if not replaying.cancelled() and (error := replaying.exception()) is not None:
        run.problems.append(f"the replay broke off: {type(error).__name__}: {error}")


async def _drain(run: Run, readers: list[TopicReader]) -> None:
    """Wait until everything sent is answered and everything visible is read."""
    deadline = run.clock() + DRAIN_SECONDS
    while not run.process_ended.is_set() and run.clock() < deadline:
        if (
            run.ledger.complete
            and run.labels_unjoined <= 0
            and run.alerts.settled
            and settled(run)
            and await champion(run.registry) == run.shadow.champion(run.model.version)
            and all([await reader.at_end() for reader in readers])
        ):
            return
        await asyncio.sleep(POLL_SECONDS)


async def _watch(run: Run, view: View, stop: asyncio.Event, over: asyncio.Event) -> None:
    """Look at the services every second and draw four times a second, until all is over."""
    next_look = 0.0
    async with aiohttp.ClientSession() as http:
        while not over.is_set():
            if run.clock() >= next_look:
                next_look = run.clock() + LOOK_SECONDS
                await _look(run, http, stop)
            _tell_news(run, view)
            view.show(run)
            await asyncio.sleep(FRAME_SECONDS)
        await _look(run, http, stop)
        view.show(run)


def _tell_news(run: Run, view: View) -> None:
    while run.shadow.news:
        view.say(run.shadow.news.popleft())


async def _look(run: Run, http: aiohttp.ClientSession, stop: asyncio.Event) -> None:
    await run.lookout.look(http)
    run.champion = await champion(run.registry)
    ended = run.ended_part()
    if ended is not None and not run.process_ended.is_set():
        run.problems.append(f"{ended.name} ended while the demo ran{ended.explain()}")
        run.process_ended.set()
        stop.set()
