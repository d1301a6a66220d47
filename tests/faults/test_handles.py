"""The handles on a process and on its network: a fault that does nothing would break no rule."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from devstack.part import Part
from shared.pipeline.crash_points import HELD, KILLED, LET_GO
from tests.faults import inside
from tests.faults.evidence import is_held, said, was_killed_at
from tests.faults.fleet import Fleet
from tests.faults.journal import Journal
from tests.faults.proxy import Proxy


@asynccontextmanager
async def echoing() -> AsyncIterator[tuple[Proxy, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A server that says everything back, and a connection to it through a proxy."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
        writer.close()

    async with (
        await asyncio.start_server(echo, "127.0.0.1", 0) as server,
        Proxy(server.sockets[0].getsockname()[1]) as proxy,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        try:
            yield proxy, reader, writer
        finally:
            writer.close()


async def test_the_proxy_passes_everything_in_order() -> None:
    sent = bytes(range(256)) * 4_096
    async with echoing() as (_, reader, writer):
        writer.write(sent)
        assert await asyncio.wait_for(reader.readexactly(len(sent)), 30) == sent


async def test_what_is_sent_while_the_proxy_is_cut_comes_late_and_whole() -> None:
    async with echoing() as (proxy, reader, writer):
        proxy.cut()
        writer.write(b"one")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.3)
        writer.write(b"two")
        proxy.mend()
        assert await asyncio.wait_for(reader.readexactly(6), 30) == b"onetwo"


async def test_a_connection_that_is_made_while_the_proxy_is_cut_is_silent_until_it_is_mended() -> None:
    async with echoing() as (proxy, _, __):
        proxy.cut()
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"x")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.3)
        proxy.mend()
        assert await asyncio.wait_for(reader.read(1), 30) == b"x"
        writer.close()


async def test_the_proxy_delays_both_ways() -> None:
    async with echoing() as (proxy, reader, writer):
        proxy.delay = 0.2
        began = time.monotonic()
        writer.write(b"x")
        assert await asyncio.wait_for(reader.read(1), 30) == b"x"
        assert time.monotonic() - began >= 0.4


def test_the_clock_is_shifted_by_what_the_file_says_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_time = time.time
    monkeypatch.setattr(time, "time", true_time)  # put back afterwards
    file = tmp_path / "clock"
    inside._shift_clock(file)
    assert abs(time.time() - true_time()) < 5
    for seconds in (-7_200.0, 1_800.0, 0.0):
        file.write_text(str(seconds))
        time.sleep(0.15)  # the file is read ten times a second
        assert abs(time.time() - true_time() - seconds) < 5


HANDLES = """
import asyncio, os, signal, sys
from tests.faults import inside
signal.signal(signal.SIGUSR1, inside._print_tasks)
signal.signal(signal.SIGUSR2, inside._block)

async def waits_in_here():
    await asyncio.Event().wait()

async def beat():
    waiting = asyncio.create_task(waits_in_here())
    while True:
        print("beat", flush=True)
        await asyncio.sleep(0.02)

asyncio.run(beat())
"""


def test_a_blocked_loop_stands_still_and_a_trace_says_where_every_task_waits() -> None:
    """The longest silence between two beats is the block; what waits is named with its function."""
    process = subprocess.Popen(
        [sys.executable, "-c", HANDLES],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"FAULTS_BLOCK_SECONDS": "1.5"},
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "beat\n"
        process.send_signal(signal.SIGUSR2)
        longest, last = 0.0, time.monotonic()
        while longest < 1.0:
            assert process.stdout.readline() == "beat\n"
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        assert longest >= 1.0
        process.send_signal(signal.SIGUSR1)
        time.sleep(0.5)
    finally:
        process.terminate()
        _, trace = process.communicate(timeout=30)
    assert "waits_in_here" in trace


def test_the_log_says_whether_a_process_was_held_or_killed_at_a_point(tmp_path: Path) -> None:
    part = Part("inference-1", [], tmp_path)

    def log(*events: tuple[str, str]) -> None:
        with part.log.open("a") as file:
            file.writelines(json.dumps({"event": event, "point": point}) + "\n" for event, point in events)

    assert not is_held(part, "before-commit")
    log((HELD, "before-commit"), (HELD, "before-commit"), (LET_GO, "before-commit"))
    assert is_held(part, "before-commit")
    assert not is_held(part, "before-begin")
    log((LET_GO, "before-commit"))
    assert not is_held(part, "before-commit")
    assert not was_killed_at(part, "before-commit")
    log((KILLED, "before-commit"))
    assert was_killed_at(part, "before-commit")
    with part.log.open("a") as file:
        file.write("Traceback (most recent call last):\n{not json\n")
    assert said(part, HELD) == 2


class Stubborn(Part):
    """Does not go on SIGTERM."""

    running = True  # type: ignore[assignment]

    def stop(self, timeout: float = 15.0) -> None:
        time.sleep(timeout)
        self.running = False  # type: ignore[misc]


async def test_a_process_that_does_not_stop_when_told_is_a_violation_wherever_that_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.faults.fleet.STOPS_WITHIN", 0.2)
    journal = Journal(tmp_path)
    fleet = Fleet({}, journal)
    part = Stubborn("inference-1", [], tmp_path)
    fleet.parts["inference"] = [part]
    assert fleet.misbehaved() == []
    await fleet.stop(part)
    assert fleet.misbehaved() == ["inference-1 did not stop within 0.2 s of SIGTERM"]
    gone = Stubborn("inference-2", [], tmp_path)
    gone.running = False  # type: ignore[misc]
    fleet.parts["inference"].append(gone)
    assert fleet.misbehaved()[1].startswith("inference-2 ended by itself")
    journal.close()
