from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvloop

from shared.errors import ConfigError, TransientError
from shared.lifecycle import Background, run, stop_on_signals

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_only_sets_the_event(number: signal.Signals) -> None:
    with stop_on_signals() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stop.wait(), 5)


CHILD = """
import asyncio, sys
from shared.lifecycle import run, stop_on_signals
from shared.logs import configure_logging

async def main():
    configure_logging("child")
    with stop_on_signals({drain}) as stop:
        print("ready", flush=True)
        await stop.wait()
        print("stopping", flush=True)
        {then}

sys.exit(run(main))
"""


@contextmanager
def child(then: str, drain: str = "None") -> Iterator[subprocess.Popen[str]]:
    code = CHILD.format(then=then, drain=drain)
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_asked_to_stop_ends_well(number: signal.Signals) -> None:
    with child("pass") as process:
        process.send_signal(number)
        _, log = process.communicate(timeout=20)
        assert process.returncode == 0
        assert f'"signal":"{number.name}"' in log


def test_a_second_interrupt_means_now() -> None:
    with child("await asyncio.Event().wait()") as process:
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.readline() == "stopping\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert process.returncode == 130


def test_a_second_sigterm_changes_nothing() -> None:
    then = "await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)"
    with child(then) as process:
        assert process.stdout is not None
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "stopping\n"
        process.send_signal(signal.SIGTERM)
        process.communicate("go on\n", timeout=20)
        assert process.returncode == 0


def test_a_drain_that_hangs_ends_in_time_and_says_so() -> None:
    with child("await asyncio.Event().wait()", drain="0.2") as process:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=20)
        assert process.returncode == 70
        assert '"event":"still not stopped, ending the process uncommitted"' in log


def outcome(error: BaseException | None) -> int:
    async def main() -> None:
        assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
        if error is not None:
            raise error

    return run(main)


def test_exit_codes(caplog: pytest.LogCaptureFixture) -> None:
    assert outcome(None) == 0
    assert outcome(TransientError("Redis is away")) == 1
    assert outcome(ConfigError(["http_port: is wrong", "http_host: too"])) == 2
    assert outcome(RuntimeError("a fault of ours")) == 70
    assert outcome(KeyboardInterrupt()) == 130
    assert [record.getMessage() for record in caplog.records] == [
        "Redis is away",
        "http_port: is wrong",
        "http_host: too",
        "crashed",
    ]
    assert caplog.records[-1].exc_info is not None


def test_bad_settings_are_printed_where_logging_is_not_configured_yet() -> None:
    code = (
        "import sys; from shared.lifecycle import run; from shared.errors import ConfigError\n"
        "async def main(): raise ConfigError(['redis_url: redis://u:hunter2@h is wrong', 'b: too'])\n"
        "sys.exit(run(main))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert done.stderr == "configuration: redis_url: redis://**********@h is wrong\nconfiguration: b: too\n"


async def forever() -> None:
    await asyncio.Event().wait()


async def fails(error: Exception) -> None:
    raise error


async def ends() -> None:
    pass


async def test_a_failed_task_stops_the_main_loop_and_is_raised_in_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stop = asyncio.Event()
    finished = False
    with pytest.raises(ValueError, match="broken"):  # noqa: PT012  leaving the context raises
        async with Background(stop) as background:
            other = background.start("other", forever())
            background.start("watch", fails(ValueError("broken")))
            await asyncio.wait_for(stop.wait(), 5)
            finished = True  # the main loop went on to its end
    assert finished
    assert other.cancelled()
    (record,) = caplog.records
    assert record.getMessage() == "background task failed"
    assert record.__dict__["fields"] == {"task": "watch", "error": "ValueError: broken"}


async def test_a_lasting_task_that_ends_is_a_failure() -> None:
    stop = asyncio.Event()
    with pytest.raises(RuntimeError, match="the task 'watch' ended by itself"):  # noqa: PT012  leaving the context raises
        async with Background(stop) as background:
            background.start("watch", ends())
            await asyncio.wait_for(stop.wait(), 5)


async def test_a_passing_task_may_end() -> None:
    stop = asyncio.Event()
    async with Background(stop) as background:
        await background.start("load", ends(), lasting=False)
    assert not stop.is_set()
    assert background.failure is None


async def test_leaving_cancels_without_complaint_and_waits() -> None:
    cleaned: list[str] = []

    async def careful() -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(0)
            cleaned.append("done")

    stop = asyncio.Event()
    async with Background(stop) as background:
        background.start("careful", careful())
        await asyncio.sleep(0)
    assert cleaned == ["done"]
    assert not stop.is_set()


async def test_a_failure_while_stopping_is_raised_too() -> None:
    async def stubborn() -> None:
        try:
            await forever()
        finally:
            await fails(OSError("cannot close"))

    with pytest.raises(OSError, match="cannot close"):  # noqa: PT012  leaving the context raises
        async with Background(asyncio.Event()) as background:
            background.start("stubborn", stubborn())
            await asyncio.sleep(0)


async def test_the_error_of_the_main_loop_is_not_replaced() -> None:
    stop = asyncio.Event()

    async def main() -> None:
        async with Background(stop) as background:
            background.start("watch", fails(ValueError("second")))
            await asyncio.wait_for(stop.wait(), 5)
            raise KeyError("first")

    with pytest.raises(KeyError, match="first"):
        await main()
