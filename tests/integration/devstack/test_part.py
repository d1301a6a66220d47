from __future__ import annotations

import sys
from pathlib import Path

import pytest

from devstack.errors import DevstackError
from devstack.part import Part


def test_a_failed_start_shows_the_end_of_the_log(tmp_path: Path) -> None:
    script = "import sys; print('line one'); print('the disk is full', file=sys.stderr); sys.exit(3)"
    part = Part("Example", [sys.executable, "-u", "-c", script], tmp_path)
    part.launch()
    with pytest.raises(DevstackError) as caught:
        part.wait_until(lambda: False, 30)
    assert str(caught.value) == (
        f"Example ended while starting (exit code 3); the end of {tmp_path}/example.log:\n"
        "line one\nthe disk is full"
    )
    part.kill()


def test_a_part_that_never_serves_is_given_up_at_the_deadline(tmp_path: Path) -> None:
    part = Part("Example", ["sleep", "60"], tmp_path)
    part.launch()
    with pytest.raises(DevstackError, match=r"^Example was not ready after 0\.2 s; the end of "):
        part.wait_until(lambda: False, 0.2)
    assert part.running
    part.kill()
    assert not part.running


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    part = Part("Example", ["/nowhere/server"], tmp_path)
    with pytest.raises(DevstackError, match=r"No such file or directory: '/nowhere/server'"):
        part.launch()
    assert not part.running


def test_only_the_last_run_is_in_the_tail_of_the_log(tmp_path: Path) -> None:
    part = Part("Example", [sys.executable, "-c", "import os; print(os.getpid())"], tmp_path)
    for _ in range(2):
        part.launch()
        pid = part.pid
        assert part.join(30)
        assert part.log_tail() == str(pid)
    assert len(part.log.read_text().split()) == 2
    part.kill()


def test_a_part_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    script = f"{deaf}; print('deaf', flush=True); signal.pause()"
    part = Part("Example", [sys.executable, "-c", script], tmp_path)
    part.launch()
    part.wait_until(lambda: part.log_tail() == "deaf", 30)
    part.stop(timeout=0.2)
    assert not part.running


def test_a_running_part_is_not_started_twice(tmp_path: Path) -> None:
    part = Part("Example", ["sleep", "60"], tmp_path)
    part.launch()
    with pytest.raises(DevstackError, match=f"Example is running already \\(pid {part.pid}\\)"):
        part.launch()
    part.kill()


def test_a_part_that_is_down_cannot_be_suspended(tmp_path: Path) -> None:
    part = Part("Example", ["sleep", "60"], tmp_path)
    with pytest.raises(DevstackError, match="Example is not running"):
        part.suspend()
