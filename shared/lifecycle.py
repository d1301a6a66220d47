"""Start, stop and exit codes of a process; signals only set an event.

==========  ====================================================================
exit code   why
==========  ====================================================================
0           stopped as asked
1           a ServiceError: what went wrong is named in the last line
2           a ConfigError: every bad setting is named
70          a crash, or a drain that took too long: the log says which, nothing was committed
130         interrupted a second time while stopping
==========  ====================================================================
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

import uvloop

from shared.errors import ConfigError, ServiceError
from shared.logs import get_logger, redact

log = get_logger(__name__)

EXIT_OK: Final = 0
EXIT_SERVICE_ERROR: Final = 1
EXIT_CONFIG_ERROR: Final = 2
EXIT_CRASH: Final = 70
EXIT_INTERRUPTED: Final = 130


@contextmanager
def stop_on_signals(drain_seconds: float | None = None) -> Iterator[asyncio.Event]:
    """Yield an event that SIGTERM and SIGINT set; the loop that watches it finishes its batch.

    A second SIGINT raises ``KeyboardInterrupt``: a person at a terminal wants out now. Call it inside
    a running event loop, in the main thread.

    Parameters
    ----------
    drain_seconds
        How long stopping may take: past it the process ends at once with exit code 70, which says
        more than the supervisor's SIGKILL would. Nothing uncommitted counts, so nothing is lost.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    deadline: list[asyncio.TimerHandle] = []

    def on_signal(number: signal.Signals) -> None:
        if number == signal.SIGINT and stop.is_set():
            raise KeyboardInterrupt
        log.info("stopping", signal=number.name)
        if drain_seconds is not None and not stop.is_set():
            deadline.append(loop.call_later(drain_seconds, _give_up, drain_seconds))
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield stop
    finally:
        for timer in deadline:
            timer.cancel()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Run a service on uvloop and return its exit code; ``sys.exit(run(main))``.

    Parameters
    ----------
    main
        Called inside the loop's try, so that settings may be loaded in it.
    """
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
    except ConfigError as error:
        for problem in error.problems:
            _complain("configuration", problem)
        return EXIT_CONFIG_ERROR
    except ServiceError as error:
        _complain(type(error).__name__, str(error))
        return EXIT_SERVICE_ERROR
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Exception:
        if not logging.getLogger().handlers:
            raise  # the interpreter prints it
        log.exception("crashed")
        return EXIT_CRASH
    return EXIT_OK


async def alive_until(
    work: Coroutine[Any, Any, Any], stop: asyncio.Event, *, turn: Callable[[], None], every: float = 1.0
) -> bool:
    """Wait for ``work`` and return True, or False where ``stop`` came first (``work`` is cancelled).

    Calls ``turn`` every so many seconds meanwhile, since a process that waits for something outside
    it is alive, and restarting it would not help.
    """
    waiting = {asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())}
    try:
        done: set[asyncio.Future[Any]] = set()
        while not done:
            turn()
            done, _ = await asyncio.wait(waiting, timeout=every, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in waiting:
            task.cancel()
    return not stop.is_set()


class Background:
    """Tasks beside the main loop: every handle is kept, and a failure is never lost.

    A task that fails, or that ends although it was meant to last, is logged at once and sets
    ``stop``, so that the main loop finishes its batch in order; leaving the context cancels what
    still runs and raises the first failure. (``asyncio.TaskGroup`` would cancel the main loop
    instead, in the middle of a fetch or a commit.)

    Parameters
    ----------
    stop
        The event of :func:`stop_on_signals`.
    """

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing = False
        self.failure: BaseException | None = None

    def start(self, name: str, work: Coroutine[Any, Any, Any], *, lasting: bool = True) -> asyncio.Task[Any]:
        """Start ``work`` as a task.

        Parameters
        ----------
        name
            What a person calls it; part of the log line when it fails.
        lasting
            Whether it is meant to run as long as the process.
        """
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended if lasting else self._done)
        return task

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))
        if self.failure is not None and error is None:
            raise self.failure

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._done(task)
        if self.failure is None and not self._closing and not task.cancelled():
            self._fail(task, RuntimeError(f"the task {task.get_name()!r} ended by itself"))

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(task, error)

    def _fail(self, task: asyncio.Task[Any], error: BaseException) -> None:
        log.error("background task failed", task=task.get_name(), error=f"{type(error).__name__}: {error}")
        if self.failure is None:
            self.failure = error
        self._stop.set()


def _give_up(after: float) -> None:
    """End the process without unwinding: what hangs would hang the unwinding too."""
    log.error("still not stopped, ending the process uncommitted", drain_seconds=after)
    logging.shutdown()
    os._exit(EXIT_CRASH)


def _complain(kind: str, message: str) -> None:
    """Log what ended the process, or print it where logging was not configured yet."""
    if logging.getLogger().handlers:
        log.error(message, kind=kind)
    else:
        print(f"{kind}: {redact(message)}", file=sys.stderr)
