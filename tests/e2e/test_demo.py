"""The demo as a newcomer runs it: a process of its own, on the embedded broker."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEADLINE = 150.0
CALM = ("--rate", "200", "--faults-every", "50", "--first-within", "600")
"""Beside other tests on a busy machine: how soon the first prediction comes is nothing to judge there."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Demo:
    """A running demo, with its output read line by line."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process = process
        self.folder = folder
        self.lines: list[str] = []

    def read_until(self, found: Callable[[str], bool]) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if found(self.lines[-1]):
                return
        pytest.fail("the demo ended before that:\n" + "\n".join(self.lines))

    def finish(self, within: float = DEADLINE) -> int:
        """Read to the end and return the exit code."""
        output, _ = self.process.communicate(timeout=within)
        self.lines += output.splitlines()
        return self.process.returncode

    def descendants(self) -> dict[int, str]:
        """Return the command line of every process below the demo, by pid."""
        found: dict[int, str] = {}
        waiting = [self.process.pid]
        while waiting:
            for pid in children(waiting.pop()):
                found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                waiting.append(pid)
        return found


def children(pid: int) -> list[int]:
    pids: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        pids += map(int, (task / "children").read_text().split())
    return pids


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not true in time"
        time.sleep(0.05)


@contextmanager
def running_demo(folder: Path, *arguments: str) -> Iterator[Demo]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "devstack.demo", *CALM, *arguments],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            yield Demo(process, folder)
        finally:
            process.kill()


def test_it_stops_by_itself_and_all_is_well(tmp_path: Path) -> None:
    with running_demo(tmp_path, "--seconds", "20") as demo:
        demo.read_until(lambda line: "inference ready" in line)
        processes = demo.descendants()
        assert {"tansu", "redis-server", "services.inference"} == {
            name
            for name in ("tansu", "redis-server", "services.inference")
            if any(name in command for command in processes.values())
        }
        assert demo.finish() == 0, "\n".join(demo.lines)
    last = json.loads(demo.lines[-1])
    first = ["events", "predictions", "dead_letters", "events_per_second", "p99_ms", "champion"]
    assert list(last)[: len(first)] == first
    assert {"drift_alarms", "false_alarm_budget", "agreement", "win_rate", "promoted", "refused"} <= set(last)
    assert last["events"] == last["predictions"] + last["dead_letters"]
    assert last["predictions"] // 50 == last["dead_letters"] > 0
    assert last["events"] > 2_000
    assert last["false_alarm_budget"]["per_30_days"] == 1.0
    assert last["webhooks_delivered"] >= last["alerts_fired"] >= 1
    assert any(line.startswith("WEBHOOK info refused-events: ") for line in demo.lines)
    told = [line for line in demo.lines if line.startswith("WEBHOOK warning drift: ")]
    assert any("has drifted" in line and "s after the alarm)" in line for line in told), told
    assert last["p99_ms"] > 0
    assert re.fullmatch(r"2013q1-[0-9a-f]{8}", last["champion"])
    assert "  Jan 0.92  Feb 0.92  Mar 0.94  Apr 0.89  May 0.93  Jun 0.92" in demo.lines
    wait_until(lambda: all(is_gone(pid) for pid in processes))


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_the_better_version_is_promoted_and_the_mistake_refused_with_the_name_of_a_segment(
    tmp_path: Path,
) -> None:
    with running_demo(tmp_path, "--seconds", "120", "--rate", "250") as demo:
        demo.finish(within=800)
    # A busy machine may take longer to an alert than the demo allows; that is another test's matter.
    wrong = [line for line in demo.lines if line.startswith("NOT WELL") and "to its webhook" not in line]
    assert wrong == [], "\n".join(demo.lines)
    last = json.loads(demo.lines[-1])
    assert last["promoted"] == last["champion"]
    assert re.fullmatch(r"2013mayjune-[0-9a-f]{8}", last["promoted"])
    assert re.fullmatch(r"2013hours-[0-9a-f]{8}", last["refused"])
    assert 0.5 < last["win_rate"] < 1
    assert 0.5 < last["agreement"] < 1
    text = " ".join(" ".join(demo.lines).split())
    assert re.search(
        rf"{last['refused']} was refused by the gates: .*; segment carrier: .* in carrier=", text
    )


def test_after_ctrl_c_it_waits_for_the_answers_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with running_demo(tmp_path) as demo:
        demo.read_until(lambda line: "inference ready" in line and "sent 0" not in line)
        processes = demo.descendants()
        demo.process.send_signal(signal.SIGINT)
        assert demo.finish() == 0, "\n".join(demo.lines)
    last = json.loads(demo.lines[-1])
    assert last["events"] == last["predictions"] + last["dead_letters"] > 0
    wait_until(lambda: all(is_gone(pid) for pid in processes))


def test_a_service_that_dies_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    with running_demo(tmp_path) as demo:
        demo.read_until(lambda line: "inference ready" in line)
        processes = demo.descendants()
        (service,) = [pid for pid, command in processes.items() if command.endswith("-m services.inference ")
                      and "warden.py" not in command]  # fmt: skip
        os.kill(service, signal.SIGKILL)
        assert demo.finish() == 1
    output = "\n".join(demo.lines)
    assert "NOT WELL: inference ended while the demo ran; the end of " in output
    assert '"event":"model swapped in"' in output
    assert json.loads(demo.lines[-1])["events"] > 0
    wait_until(lambda: all(is_gone(pid) for pid in processes))


def test_when_the_demo_is_killed_its_processes_end(tmp_path: Path) -> None:
    with running_demo(tmp_path) as demo:
        demo.read_until(lambda line: line.startswith("waiting for inference"))
        wait_until(lambda: len(demo.descendants()) >= 6)  # a warden and a process each
        processes = demo.descendants()
        demo.process.kill()
        wait_until(lambda: all(is_gone(pid) for pid in processes))
