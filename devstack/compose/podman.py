"""Podman's Docker-compatible socket, for Docker Compose where no Docker engine is to be had."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from devstack.errors import DevstackError
from devstack.images.engine import Engine
from devstack.images.programs import execute

_START_SECONDS: Final = 30.0
_AT_ONCE: Final = 4
_NANOSECONDS: Final = 1e9
_CONF: Final = """\
[containers]
default_ulimits = ["nofile=8192:8192", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


@contextmanager
def docker_socket(engine: Engine, folder: Path) -> Iterator[str]:
    """Serve the API until the block ends; yields its address, for ``DOCKER_HOST``.

    Podman leaves health checks to systemd's timers. Here a thread of ours runs each at its interval,
    so that this also works where there is no systemd.
    """
    conf, socket = folder / "containers.conf", folder / "podman.sock"
    conf.write_text(_CONF)
    environment = os.environ | {"CONTAINERS_CONF": str(conf)}
    command = ["podman", *engine.options, "system", "service", "--time=0", f"unix://{socket}"]
    with (folder / "podman.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    over = threading.Event()
    checks = threading.Thread(target=_check_health, args=(engine, environment, over))
    try:
        _until_there(socket, server)
        checks.start()
        yield f"unix://{socket}"
    finally:
        over.set()
        if checks.ident is not None:
            checks.join()
        server.terminate()
        server.wait()


def _until_there(socket: Path, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not socket.exists():
        if server.poll() is not None or time.monotonic() > deadline:
            raise DevstackError(f"podman system service does not start: see {socket.parent}/podman.log")
        time.sleep(0.1)


def _check_health(engine: Engine, environment: dict[str, str], over: threading.Event) -> None:
    due: dict[str, float] = {}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        while not over.wait(0.5):
            for name, interval in _checked(engine).items():
                if due.setdefault(name, 0.0) <= time.monotonic():
                    due[name] = time.monotonic() + interval
                    pool.submit(_podman, engine, environment, "healthcheck", "run", name)


def _checked(engine: Engine) -> dict[str, float]:
    """Return the interval of every running container that has a health check."""
    try:
        names = execute(["podman", *engine.options, "ps", "--quiet"]).split()
        found: list[dict[str, Any]] = (
            json.loads(execute(["podman", *engine.options, "inspect", *names])) if names else []
        )
    except DevstackError:
        return {}  # one ended in between
    return {
        container["Name"]: container["Config"]["Healthcheck"]["Interval"] / _NANOSECONDS
        for container in found
        if container["Config"].get("Healthcheck")
    }


def _podman(engine: Engine, environment: dict[str, str], *arguments: str) -> None:
    command = ["podman", *engine.options, *arguments]
    subprocess.run(command, env=environment, capture_output=True, check=False)
