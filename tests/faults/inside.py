"""A service under test: ``python -m tests.faults.inside inference`` is the service, with handles on it.

=================  =============================================================================
``SIGUSR1``        print where every task and thread is, into the service's log
``SIGUSR2``        block the event loop for ``FAULTS_BLOCK_SECONDS``
``FAULTS_CLOCK``   a file: the seconds in it are added to the clock from then on
``FAULTS_ROUTES``  JSON: connections to these ports go to those (a proxy's)
``FAULTS_CONTROL`` a deliberate mistake of :mod:`tests.faults.controls`
=================  =============================================================================

The names do not begin with DRIFTLINE: a service refuses settings that it does not know.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import runpy
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from aiokafka.conn import AIOKafkaConnection

from tests.faults import controls


def describe(task: asyncio.Task[Any]) -> list[str]:
    """Where a task waits: file, line and function, outermost first."""
    lines = [repr(task)]
    waiting: Any = task.get_coro()
    while waiting is not None:
        frame = getattr(waiting, "cr_frame", None) or getattr(waiting, "ag_frame", None)
        if frame is not None:
            lines.append(f"    {frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}")
        waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "ag_await", None)
    return lines


def _print_tasks(_number: int, _frame: FrameType | None) -> None:
    try:
        tasks = asyncio.all_tasks()
    except RuntimeError:
        tasks = set()
    for task in tasks:
        print("\n".join(describe(task)), file=sys.stderr, flush=True)
    faulthandler.dump_traceback(all_threads=True)


def _block(_number: int, _frame: FrameType | None) -> None:
    time.sleep(float(os.environ.get("FAULTS_BLOCK_SECONDS", "10")))


def _shift_clock(file: Path) -> None:
    true_time, known = time.time, [0.0, 0.0]

    def shifted() -> float:
        now = time.monotonic()
        if now - known[0] > 0.1:
            known[:] = [now, float(file.read_text() or 0) if file.exists() else 0.0]
        return true_time() + known[1]

    time.time = shifted


def _reroute(routes: dict[str, int]) -> None:
    connect = AIOKafkaConnection.__init__

    def through_proxy(self: Any, host: str, port: int, **options: Any) -> None:
        connect(self, host, routes.get(str(port), port), **options)

    AIOKafkaConnection.__init__ = through_proxy


def main() -> None:
    """Arm the handles, then run the service as ``python -m services.NAME`` does."""
    name = sys.argv.pop(1)
    signal.signal(signal.SIGUSR1, _print_tasks)
    signal.signal(signal.SIGUSR2, _block)
    if clock := os.environ.get("FAULTS_CLOCK"):
        _shift_clock(Path(clock))
    if routes := os.environ.get("FAULTS_ROUTES"):
        _reroute(json.loads(routes))
    if control := os.environ.get("FAULTS_CONTROL"):
        controls.CONTROLS[control].apply()
    runpy.run_module(f"services.{name}", run_name="__main__")


if __name__ == "__main__":
    main()
