"""Says on the reports topic, every few seconds, that this process lives and how it fares."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from shared.kafka.starting import start
from shared.kafka.stopping import cut_off, stop_within
from shared.logs import RateLimit, get_logger
from shared.messages import ServiceReport
from shared.reports import report_record
from shared.vitals import instance_name, vitals

log = get_logger(__name__)

_TROUBLE: Final = (KafkaError, TimeoutError, OSError, AssertionError)
_DEADLINE: Final = 5.0
_COMPLAIN_EVERY: Final = 300.0


class Heartbeat:
    """A background task with a producer of its own; as an async context manager.

    It never holds the service up and never fails it: a report that the broker does not take within a
    few seconds is dropped, since the next one says the same and more. Leaving the context sends a last
    report with ``stopping`` set, so that a process that was asked to stop is not missed.

    Parameters
    ----------
    service
        Name of the service.
    client
        Arguments of every aiokafka client.
    topic
        The reports topic; nothing is sent while it does not exist, so that no broker creates it.
    collectors
        What the report's figures are read from.
    every
        Seconds between two reports; 0 sends none.
    not_ready
        Returns why the service is not ready, by name of the check.
    model_trouble
        Returns why a model is not at the version the registry wants, by model.
    not_loaded
        Returns why a version cannot be loaded, by model and version.
    """

    def __init__(
        self,
        service: str,
        client: Mapping[str, Any],
        topic: str,
        collectors: CollectorRegistry,
        *,
        every: float,
        not_ready: Callable[[], Mapping[str, str]] = dict,
        model_trouble: Callable[[], Mapping[str, str]] = dict,
        not_loaded: Callable[[], Mapping[str, Mapping[str, str]]] = dict,
    ) -> None:
        self._service = service
        self._client = client
        self._topic = topic
        self._collectors = collectors
        self._every = every
        self._not_ready = not_ready
        self._model_trouble = model_trouble
        self._not_loaded = not_loaded
        self._instance = instance_name()
        self._started_at = _now()
        self._producer: AIOKafkaProducer | None = None
        self._task: asyncio.Task[None] | None = None
        self._complaints = RateLimit(_COMPLAIN_EVERY)

    async def __aenter__(self) -> Self:
        if self._every > 0:
            self._task = asyncio.create_task(self._beat(), name="heartbeat")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        if self._producer is not None:
            if error is None:  # a process that crashes is to be missed
                await self._say(stopping=True)
            await self._let_go(stop_within, _DEADLINE)

    async def _beat(self) -> None:
        while True:
            await self._say()
            await asyncio.sleep(self._every)

    async def _say(self, *, stopping: bool = False) -> None:
        """Send one report; whatever goes wrong is logged now and then, and never raised."""
        try:
            async with asyncio.timeout(_DEADLINE):
                producer = await self._connected()
                if self._topic in (await producer.client.fetch_all_metadata()).topics():
                    key, value, headers = report_record(self._report(stopping=stopping))
                    await producer.send_and_wait(self._topic, value, key=key, headers=headers)
        except Exception as error:
            if (held := self._complaints.admit()) is not None:
                log.warning("no report that this process lives", error=repr(error), held_back=held)
            if not isinstance(error, _TROUBLE):
                return
            await self._let_go(cut_off)

    async def _connected(self) -> AIOKafkaProducer:
        """Return the producer, making it where there is none: a broker may have been away."""
        if self._producer is None:
            self._producer = AIOKafkaProducer(
                **self._client, acks="all", request_timeout_ms=int(_DEADLINE * 1000), retry_backoff_ms=200
            )
            await start(self._producer)
        return self._producer

    async def _let_go(self, end: Callable[..., Any], *arguments: float) -> None:
        producer, self._producer = self._producer, None
        with contextlib.suppress(*_TROUBLE):
            await end(producer, *arguments)

    def _report(self, *, stopping: bool) -> ServiceReport:
        return vitals(
            self._collectors,
            service=self._service,
            instance=self._instance,
            started_at=self._started_at,
            now=_now(),
            interval=int(self._every * 1000),
            not_ready=self._not_ready(),
            model_trouble=self._model_trouble(),
            not_loaded=self._not_loaded(),
            stopping=stopping,
        )


def _now() -> int:
    return int(time.time() * 1000)
