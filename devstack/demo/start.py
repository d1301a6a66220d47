"""Brings the demo up to the moment before its first event."""

from __future__ import annotations

import asyncio
import calendar
import time
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import aiohttp
import pandas as pd
from aiokafka import AIOKafkaProducer

from devstack.demo.aftermath import Aftermath
from devstack.demo.alerts import AlertLedger, DemoReceiver
from devstack.demo.champion import open_registry, publish
from devstack.demo.contract import MODEL
from devstack.demo.drift import plant_kilometres
from devstack.demo.events import flight_events
from devstack.demo.faults import with_faults
from devstack.demo.flights import departures_from, load_flights
from devstack.demo.ledger import Ledger
from devstack.demo.look import Lookout, Sight
from devstack.demo.model import FlightModel, prepare_model
from devstack.demo.options import Options
from devstack.demo.replay import Replay
from devstack.demo.services import START_TIMEOUT, Service, forget_settings, launch_services, shared_settings
from devstack.demo.stack import Servers, start_servers
from devstack.demo.state import Run
from devstack.demo.story import prepare_challengers
from devstack.demo.topics import NAMES, PARTITIONS
from devstack.demo.view import View
from devstack.errors import DevstackError
from devstack.ports import Ports
from shared.kafka.stopping import stop_within
from shared.kafka.topics import create_topics

POLL_SECONDS = 0.1
REQUEST_TIMEOUT_MS = 10_000
STOP_SECONDS = 5.0


class Interrupted(Exception):
    """Ctrl-C came before the first event was sent."""


async def start(
    options: Options,
    view: View,
    began_at: float,
    folder: Path,
    *,
    stack: AsyncExitStack,
    stop: asyncio.Event,
) -> Run:
    """Return the run, every server and service ready; ``stack`` stops them in reverse order.

    Raises
    ------
    ServiceError
        Something did not start; the message names it and shows the end of its log.
    Interrupted
        ``stop`` was set meanwhile.
    """
    forget_settings()
    servers, frame, model, challengers = await _servers_and_model(options, view, folder, stack)
    _go_on(stop)
    registry = await stack.enter_async_context(open_registry(servers.redis_url, folder))
    await create_topics(servers.client, NAMES, partitions=PARTITIONS)
    await publish(registry, model)
    ledger, clock = Ledger(), time.monotonic
    alerts = AlertLedger(view.say)
    receiver = await stack.enter_async_context(DemoReceiver(folder, alerts))
    own = {"alerting": receiver.environment}
    services = _launch(options, shared_settings(servers, folder / "bundles"), own, folder, stack)
    producer = AIOKafkaProducer(**servers.client, linger_ms=0, request_timeout_ms=REQUEST_TIMEOUT_MS)
    await producer.start()
    stack.push_async_callback(stop_within, producer, STOP_SECONDS)
    flights = plant_kilometres(departures_from(frame, options.begin))
    records = with_faults(flight_events(flights, MODEL), options.faults_every)
    aftermath = Aftermath(NAMES.labels, NAMES.outcomes)
    replay = Replay(
        producer,
        NAMES.events,
        records,
        rate=options.rate,
        note=ledger.sent,
        clock=clock,
        after=aftermath.after,
    )
    lookout = Lookout(services, clock)
    run = Run(
        options,
        folder,
        model,
        servers,
        services,
        lookout,
        registry,
        ledger,
        replay,
        clock,
        began_at=began_at,
        alerts=alerts,
    )
    run.aftermath = aftermath
    run.challengers = challengers
    view.say(
        f"waiting for {', '.join(service.name for service in services)} to be ready {_patience(options)}..."
    )
    await _all_ready(run, stop)
    return run


async def _servers_and_model(
    options: Options, view: View, folder: Path, stack: AsyncExitStack
) -> tuple[Servers, pd.DataFrame, FlightModel, list[FlightModel]]:
    """Start the servers while the models are trained: each takes seconds."""
    view.say("starting the broker and Redis, reading the flights of 2013 ...")
    running = ExitStack()
    stack.push_async_callback(asyncio.to_thread, running.close)
    starting = asyncio.to_thread(start_servers, options, folder, running)
    making = asyncio.to_thread(_flights_and_models, options)
    # Both are awaited whatever happens to the other, so that nothing starts after the stack is closed.
    servers, made = await asyncio.gather(starting, making, return_exceptions=True)
    for outcome in (servers, made):
        if isinstance(outcome, BaseException):
            raise outcome
    assert isinstance(servers, Servers)
    assert isinstance(made, tuple)
    frame, model, challengers = made
    view.say(f"{servers.kafka_name} at {servers.bootstrap_servers}, {servers.redis_url}")
    view.say(describe_model(model, len(frame)))
    return servers, frame, model, challengers


def _flights_and_models(options: Options) -> tuple[pd.DataFrame, FlightModel, list[FlightModel]]:
    frame = load_flights()
    return frame, prepare_model(frame), prepare_challengers(frame, options)


def describe_model(model: FlightModel, flights: int) -> str:
    """Return what the model is and how well it does, for a person."""
    months = [f"{calendar.month_abbr[month]} {auc:.2f}" for month, auc in model.auc.items()]
    halves = "\n  ".join("  ".join(months[start : start + 6]) for start in (0, 6))
    origin = "trained just now" if model.fresh else "from the cache"
    return (
        f"{flights:,} flights; model {model.version} of January to March, {origin}\n"
        f"area under the ROC curve by month:\n  {halves}"
    )


def _patience(options: Options) -> str:
    """Return why it may take a while: Tansu answers the first member of a group after half its timeout."""
    return "(Tansu takes 5 s to form a consumer group) " if options.kafka == "embedded" else ""


def _launch(
    options: Options,
    settings: dict[str, str],
    own: dict[str, dict[str, str]],
    folder: Path,
    stack: AsyncExitStack,
) -> list[Service]:
    ports = Ports()
    stack.callback(ports.release)
    services: list[Service] = []

    def stop_all() -> None:
        for service in services:
            service.stop()

    stack.push_async_callback(asyncio.to_thread, stop_all)
    launch_services(options, settings, own, folder, ports, services)
    return services


async def _all_ready(run: Run, stop: asyncio.Event) -> None:
    deadline = run.clock() + START_TIMEOUT
    async with aiohttp.ClientSession() as http:
        while True:
            await run.lookout.look(http)
            _go_on(stop)
            behind = [service for service in run.services if not _serving(run.sights[service.name])]
            if not behind:
                return
            _complain(behind, timed_out=run.clock() > deadline)
            await asyncio.sleep(POLL_SECONDS)


def _serving(sight: Sight) -> bool:
    """Return whether a service is ready and reads: a broker may take seconds to form the group."""
    return sight.state == "ready" and sight.partitions > 0


def _complain(behind: list[Service], *, timed_out: bool) -> None:
    for service in behind:
        if not service.part.running:
            raise DevstackError(f"the service {service.name} ended while starting{service.part.explain()}")
        if timed_out:
            raise DevstackError(
                f"the service {service.name} was not ready after {START_TIMEOUT:g} s{service.part.explain()}"
            )


def _go_on(stop: asyncio.Event) -> None:
    if stop.is_set():
        raise Interrupted
