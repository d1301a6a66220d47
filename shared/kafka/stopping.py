"""Stopping Kafka clients in bounded time, whether or not the broker is there to say goodbye to."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

from shared.logs import get_logger

log = get_logger(__name__)

_TROUBLE: Final = (TimeoutError, KafkaError, OSError, AssertionError)
_CUT_SECONDS: Final = 2.0


async def stop_within(client: AIOKafkaProducer | AIOKafkaConsumer, seconds: float) -> None:
    """Stop a client; past the limit cut it off, because ``stop()`` hangs while the broker is away.

    A frozen broker keeps its connections open, so that a consumer would wait for the answer to its
    farewell until its request times out (40 s).
    """
    error = await _end(client.stop(), seconds)
    if error is not None:
        log.warning("client did not stop by itself and was cut off", error=repr(error))
        await cut_off(client)


async def cut_off(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """End a client as the end of its process would: nothing of it is sent from now on.

    A producer's ``stop()`` goes on sending what is in flight, and cancelling the sender alone leaves
    its requests running: while the broker is away they retry for ever, and once it is back they reach
    it beside those of the partition's next writer. So every task of the client is found and ended,
    connections last.
    """
    client._closed = True
    inner = getattr(client, "client", None) or client._client
    names = ("_sender", "_message_accumulator", "_coordinator", "_fetcher")
    parts = [getattr(client, name, None) for name in names]
    tasks = {task for task in asyncio.all_tasks() if _runs_for(task, (inner, *parts))}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_CUT_SECONDS)
    for connection in inner._conns.values():
        if connection._writer is not None:  # TLS may wait half a minute for the other side's farewell
            connection._writer.transport.abort()
    await _end(inner.close(), _CUT_SECONDS)


async def _end(work: Coroutine[Any, Any, None], seconds: float) -> BaseException | None:
    """Carry out what ends a client, so long at most; return what it ran into.

    In a task of its own, because aiokafka lets out the ``CancelledError`` of tasks and futures of its own
    (a fetch that had not begun, a connection whose end was no longer waited for), which would look to the
    caller's task as if somebody had cancelled that.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait([task], timeout=seconds)
    finally:
        late = not task.done()
        task.cancel()
    if late:
        return TimeoutError()
    if task.cancelled():
        return asyncio.CancelledError()
    error = task.exception()
    if error is not None and not isinstance(error, _TROUBLE):
        raise error
    return error


def _runs_for(task: asyncio.Task[Any], owners: Sequence[object]) -> bool:
    """Return whether a task runs a method of one of these objects."""
    frame = getattr(task.get_coro(), "cr_frame", None)
    myself = None if frame is None else frame.f_locals.get("self")
    return myself is not None and any(myself is owner for owner in owners)
