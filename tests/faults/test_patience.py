"""What a limit is of: the time in which the processes are let run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.faults.patience import MOST, Patience
from tests.streams import until

BUSY = "import os; os.sched_setaffinity(0, {0}); print(flush=True)\nwhile True: pass"


@pytest.fixture
def busy() -> Iterator[list[int]]:
    """Three processes that all want the first processor."""
    processor = min(os.sched_getaffinity(0))
    command = [sys.executable, "-c", BUSY.replace("{0}", f"{{{processor}}}")]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
    yield [child.pid for child in children]
    for child in children:
        child.kill()
        child.communicate()


def stage_of(pids: list[int]) -> Any:
    parts = {"inference": [SimpleNamespace(pid=pid, running=True) for pid in pids]}
    return SimpleNamespace(fleet=SimpleNamespace(parts=parts), kafka=SimpleNamespace(nodes=[]))


async def test_waiting_for_a_processor_does_not_count(busy: list[int]) -> None:
    patience = Patience(stage_of(busy), 0.5)
    await until(lambda: patience.gone() > 1.0)
    assert patience.starved() > 0.3  # of three, each waits two thirds of the time
    assert patience.left() > 0.5 - patience.gone()


async def test_standing_still_does_count(busy: list[int]) -> None:
    for pid in busy:
        os.kill(pid, signal.SIGSTOP)
    stage = stage_of(busy)
    await until(lambda: all(_stopped(pid) for pid in busy))
    patience = Patience(stage, 0.5)
    await until(lambda: patience.left() <= 0, seconds=30)
    assert patience.starved() < 0.1


async def test_an_end_comes_even_where_nobody_is_ever_let_run(monkeypatch: pytest.MonkeyPatch) -> None:
    patience = Patience(stage_of([]), 0.1)
    monkeypatch.setattr(patience, "starved", lambda: 1e9)
    await until(lambda: patience.left() <= 0, seconds=30)
    assert patience.gone() >= 0.1 * (1 + MOST)


def _stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
