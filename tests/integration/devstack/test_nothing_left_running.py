"""However the process that started a part ends, the part ends too, and its scratch folder is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devstack.redis_server import RedisServer
from tests.integration.devstack.processes import eventually, exists

ROOT = Path(__file__).parents[3]

REDIS = """
from devstack.redis_server import RedisServer
with RedisServer() as server:
    print(server.part.pid, server.part.data_dir, flush=True)
    {body}
"""
TANSU = """
from devstack.embedded_kafka import EmbeddedKafka
with EmbeddedKafka() as server:
    print(server.part.pid, server.part.data_dir, flush=True)
    {body}
"""
JVM = """
from devstack.apache_kafka import ApacheKafka
with ApacheKafka() as server:
    print(server.nodes[0].part.pid, server.nodes[0].part.data_dir.parent, flush=True)
    {body}
"""
SUSPENDED = """
from devstack.redis_server import RedisServer
with RedisServer() as server:
    server.suspend()
    print(server.part.pid, server.part.data_dir, flush=True)
    {body}
"""
WAIT = "import signal; signal.pause()"


@contextmanager
def user_of(script: str, body: str = WAIT) -> Iterator[tuple[subprocess.Popen[str], int, Path]]:
    """Run a script that starts a part; give the script's process, the part's pid and its folder."""
    with subprocess.Popen(
        [sys.executable, "-c", script.format(body=body)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            line = process.stdout.readline()
            assert line, process.stderr.read()
            pid, folder = line.split()
            yield process, int(pid), Path(folder)
        finally:
            process.kill()


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(REDIS, id="redis"),
        pytest.param(SUSPENDED, id="suspended-redis"),
        pytest.param(TANSU, id="tansu"),
        pytest.param(JVM, id="jvm", marks=pytest.mark.kafka),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_user_leaves_nothing(script: str, number: signal.Signals) -> None:
    with user_of(script) as (process, pid, folder):
        assert exists(pid)
        assert folder.is_dir()
        process.send_signal(number)
        assert process.wait(10) == -number
        assert eventually(lambda: not exists(pid))
        assert eventually(lambda: not folder.exists())


def test_an_exception_leaves_nothing() -> None:
    with user_of(REDIS, "raise SystemExit(7)") as (process, pid, folder):
        assert process.wait(10) == 7
        assert not exists(pid)
        assert not folder.exists()


def test_a_fork_that_holds_the_pipe_does_not_keep_the_part_alive() -> None:
    forked = "import os, signal; child = os.fork(); child and print(child, flush=True); signal.pause()"
    with user_of(REDIS, forked) as (process, pid, folder):
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            process.kill()
            process.wait(10)
            assert exists(child)
            assert eventually(lambda: not exists(pid))
            assert eventually(lambda: not folder.exists())
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_a_killed_warden_takes_its_part_along() -> None:
    with RedisServer() as server:
        pid = server.part.pid
        assert pid is not None
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        warden = next(int(line.split()[1]) for line in status if line.startswith("PPid"))
        os.kill(warden, signal.SIGKILL)
        assert eventually(lambda: not exists(pid))
        assert not server.part.running


def test_ctrl_c_ends_the_command_line_and_its_parts() -> None:
    command = [sys.executable, "-m", "devstack", "up", "--kafka", "embedded", "--redis"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        exports = [process.stdout.readline() for _ in range(3)]
        assert exports[0].startswith("export DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:")
        assert exports[1].startswith("export DRIFTLINE_REDIS_URL=redis://127.0.0.1:")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) == 2
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert not any(exists(int(child)) for child in children)
